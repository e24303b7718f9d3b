//go:build cuda && linux && (amd64 || arm64)

package driver

import (
	"bytes"
	"fmt"
	"runtime"
	"unsafe"
)

// card is one card's primary context. A context is current to a thread of the system, so
// each call makes it so on the thread that it runs on.
type card struct {
	*library
	device  int32
	context uintptr
	info    Info
}

// Look says what the card of a number is, counted from 0, without taking anything of it.
// Where there is none, or none that can be used, the error wraps ErrNone and says why.
func Look(number int) (Info, error) {
	c, err := look(number)
	if err != nil {
		return Info{}, err
	}
	return c.info, nil
}

// Open returns the card of a number; its errors are Look's.
func Open(number int) (Driver, error) {
	c, err := look(number)
	if err != nil {
		return nil, err
	}
	if err := c.check("cuDevicePrimaryCtxRetain", c.cuDevicePrimaryCtxRetain(&c.context, c.device)); err != nil {
		return nil, fmt.Errorf("%s: %w", c.info.Name, err)
	}
	return c, nil
}

func look(number int) (*card, error) {
	l, err := open()
	if err != nil {
		return nil, err
	}
	if code := l.cuInit(0); code != 0 {
		return nil, fmt.Errorf("%w that can be used: %w", ErrNone, l.check("cuInit", code))
	}
	var version, count int32
	if err := l.check("cuDriverGetVersion", l.cuDriverGetVersion(&version)); err != nil {
		return nil, err
	}
	if err := checkVersion(int(version)); err != nil {
		return nil, err
	}
	if err := l.check("cuDeviceGetCount", l.cuDeviceGetCount(&count)); err != nil {
		return nil, err
	}
	if number < 0 || number >= int(count) {
		return nil, fmt.Errorf("%w of number %d: this machine has %d", ErrNone, number, count)
	}
	c := &card{library: l, info: Info{Version: int(version)}}
	if err := l.check("cuDeviceGet", l.cuDeviceGet(&c.device, int32(number))); err != nil {
		return nil, err
	}
	return c, c.describe()
}

// Numbers of CUdevice_attribute.
const (
	sharedOptin     = 97
	multiprocessors = 16
	l2Bytes         = 38
	major           = 75
	minor           = 76
)

func (c *card) describe() error {
	name := make([]byte, 256)
	if err := c.check("cuDeviceGetName", c.cuDeviceGetName(&name[0], int32(len(name)), c.device)); err != nil {
		return err
	}
	c.info.Name = string(name[:bytes.IndexByte(name, 0)])
	for _, a := range []struct {
		number int32
		to     *int
	}{{major, &c.info.Major}, {minor, &c.info.Minor}, {multiprocessors, &c.info.Multiprocessors}, {sharedOptin, &c.info.Shared}, {l2Bytes, &c.info.L2}} {
		var v int32
		if err := c.check("cuDeviceGetAttribute", c.cuDeviceGetAttribute(&v, a.number, c.device)); err != nil {
			return err
		}
		*a.to = int(v)
	}
	var total uint64
	err := c.check("cuDeviceTotalMem", c.cuDeviceTotalMem(&total, c.device))
	c.info.Memory = int64(total)
	return err
}

// do calls the driver with the context current.
func (c *card) do(call string, f func() int32) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	code := c.cuCtxSetCurrent(c.context)
	if code == 0 {
		code = f()
	}
	return c.check(call, code)
}

func (c *card) Info() Info { return c.info }

func (c *card) Memory() (free, total int64, err error) {
	var f, t uint64
	err = c.do("cuMemGetInfo", func() int32 { return c.cuMemGetInfo(&f, &t) })
	return int64(f), int64(t), err
}

func (c *card) Alloc(bytes int64) (Ptr, error) {
	var p Ptr
	err := c.do("cuMemAlloc", func() int32 { return c.cuMemAlloc(&p, uint64(max(bytes, 1))) })
	return p, err
}

func (c *card) Free(p Ptr) error {
	if p == 0 {
		return nil
	}
	return c.do("cuMemFree", func() int32 { return c.cuMemFree(p) })
}

func (c *card) Pinned(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := c.do("cuMemHostAlloc", func() int32 { return c.cuMemHostAlloc(&p, uint64(max(bytes, 1)), 0) }); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

func (c *card) Unpin(memory []byte) error {
	if memory == nil {
		return nil
	}
	return c.do("cuMemFreeHost", func() int32 { return c.cuMemFreeHost(unsafe.Pointer(unsafe.SliceData(memory))) })
}

func (c *card) Write(to Ptr, from []byte) error {
	if len(from) == 0 {
		return nil
	}
	err := c.do("cuMemcpyHtoD", func() int32 {
		return c.cuMemcpyHtoD(to, unsafe.Pointer(unsafe.SliceData(from)), uint64(len(from)))
	})
	if err != nil {
		return err
	}
	// It may return when the bytes have left this memory, and our streams wait for no other.
	return c.do("cuStreamSynchronize", func() int32 { return c.cuStreamSynchronize(0) })
}

func (c *card) Read(to []byte, from Ptr) error {
	if len(to) == 0 {
		return nil
	}
	return c.do("cuMemcpyDtoH", func() int32 {
		return c.cuMemcpyDtoH(unsafe.Pointer(unsafe.SliceData(to)), from, uint64(len(to)))
	})
}

func (c *card) Map(a Array) (TensorMap, error) {
	var m TensorMap
	if n := len(a.Size); n < 1 || n > 3 || len(a.Strides) != n-1 || len(a.Piece) != n {
		return m, fmt.Errorf("an array of %d dimensions, %d strides and pieces of %d dimensions", n, len(a.Strides), len(a.Piece))
	}
	var size, strides [3]uint64
	piece, steps := [3]uint32{}, [3]uint32{1, 1, 1}
	for i, n := range a.Size {
		size[i], piece[i] = uint64(n), uint32(a.Piece[i])
	}
	for i, n := range a.Strides {
		strides[i] = uint64(n)
	}
	const plain, by128, wide = 0, 3, 3 // CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B
	swizzle := uint32(plain)
	if a.Swizzled {
		swizzle = by128
	}
	// The driver wants 64 bytes' alignment, which an array of Go does not have.
	room := make([]byte, 192)
	at := unsafe.Pointer(&room[-uintptr(unsafe.Pointer(&room[0]))&63])
	err := c.do("cuTensorMapEncodeTiled", func() int32 {
		return c.cuTensorMapEncodeTiled(at, uint32(a.Bytes)/2, uint32(len(a.Size)), a.At, &size[0], &strides[0], &piece[0], &steps[0], 0, swizzle, wide, 0)
	})
	copy(m[:], unsafe.Slice((*byte)(at), len(m)))
	return m, err
}

func (c *card) Load(image []byte) (Module, error) {
	m := &module{c: c}
	err := c.do("cuModuleLoadData", func() int32 { return c.cuModuleLoadData(&m.handle, unsafe.Pointer(unsafe.SliceData(image))) })
	return m, err
}

func (c *card) NewStream() (Stream, error) {
	s := &stream{c: c}
	const nonBlocking = 1
	err := c.do("cuStreamCreate", func() int32 { return c.cuStreamCreate(&s.handle, nonBlocking) })
	return s, err
}

func (c *card) NewEvent() (Event, error) {
	e := &event{c: c}
	err := c.do("cuEventCreate", func() int32 { return c.cuEventCreate(&e.handle, 0) })
	return e, err
}

func (c *card) Close() error {
	return c.check("cuDevicePrimaryCtxRelease", c.cuDevicePrimaryCtxRelease(c.device))
}

type module struct {
	c      *card
	handle uintptr
}

// Function finds a kernel and gives it as much of the first-level cache as shared memory
// as all others have: between two kernels that differ in it the card would drain.
func (m *module) Function(name string) (Function, error) {
	f := &function{c: m.c, name: name}
	if err := m.c.do("cuModuleGetFunction "+name, func() int32 { return m.c.cuModuleGetFunction(&f.handle, m.handle, name) }); err != nil {
		return nil, err
	}
	const carveout, most = 9, 100
	return f, m.c.do("cuFuncSetAttribute", func() int32 { return m.c.cuFuncSetAttribute(f.handle, carveout, most) })
}

type function struct {
	c      *card
	name   string
	handle uintptr
}

func (f *function) Name() string { return f.name }

func (f *function) AllowShared(bytes int) error {
	const dynamicShared = 8
	return f.c.do("cuFuncSetAttribute "+f.name, func() int32 { return f.c.cuFuncSetAttribute(f.handle, dynamicShared, int32(bytes)) })
}
