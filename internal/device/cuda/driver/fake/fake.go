// Package fake is a card in the host's memory, for tests. A kernel is a Go function;
// what it reads or writes outside of memory that was allocated is a panic that says so.
package fake

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"sync"
	"unsafe"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// Kernel computes what a launch does. params points to the struct of the launch.
type Kernel func(c *Card, shape driver.Shape, params any)

// Card is a card without a card. Work is done when it is asked for.
type Card struct {
	// Kernels are the code of every module, by name.
	Kernels map[string]Kernel
	// Fail, if set, is asked before each call that can fail, by name; an error of it is
	// returned instead.
	Fail func(call string) error

	mu       sync.Mutex
	info     driver.Info
	blocks   []block // in order of their addresses
	next     driver.Ptr
	used     int64
	launches int
	graphs   int
}

type block struct {
	at   driver.Ptr
	data []byte
}

// New returns a card with so many bytes of memory.
func New(memory int64, kernels map[string]Kernel) *Card {
	return &Card{Kernels: kernels, next: 1 << 32, info: driver.Info{
		Name: "fake", Major: 9, Minor: 0, Multiprocessors: 4, Shared: 227 << 10, L2: 1 << 20, Memory: memory, Version: 13000,
	}}
}

func (c *Card) fail(call string) error {
	if c.Fail != nil {
		return c.Fail(call)
	}
	return nil
}

// Info says what the card is.
func (c *Card) Info() driver.Info { return c.info }

// Memory returns what is left.
func (c *Card) Memory() (free, total int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info.Memory - c.used, c.info.Memory, c.fail("cuMemGetInfo")
}

// Used returns how many bytes are allocated.
func (c *Card) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Launches returns how many kernels have run, and how many graphs.
func (c *Card) Launches() (kernels, graphs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.launches, c.graphs
}

// Alloc takes memory and fills it with what no test expects.
func (c *Card) Alloc(bytes int64) (driver.Ptr, error) {
	if err := c.fail("cuMemAlloc"); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used+bytes > c.info.Memory {
		return 0, driver.OutOfMemory("cuMemAlloc")
	}
	// Memory of 8-byte words, so that every type is aligned.
	words := make([]uint64, (bytes+7)/8)
	for i := range words {
		words[i] = 0xfff4dead7f95beef
	}
	data := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), bytes)
	at := c.next
	c.next += driver.Ptr(bytes+4095) &^ 255 // a gap between any two
	c.blocks = append(c.blocks, block{at, data})
	c.used += bytes
	return at, nil
}

// Free gives memory back.
func (c *Card) Free(p driver.Ptr) error {
	if p == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.blocks, func(b block) bool { return b.at == p })
	if i < 0 {
		return fmt.Errorf("%#x was not allocated", uint64(p))
	}
	c.used -= int64(len(c.blocks[i].data))
	c.blocks = slices.Delete(c.blocks, i, i+1)
	return nil
}

// Bytes returns memory of the card.
func (c *Card) Bytes(p driver.Ptr, n int) []byte {
	if n == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.blocks), func(i int) bool { return c.blocks[i].at > p }) - 1
	if i >= 0 {
		if b := c.blocks[i]; p+driver.Ptr(n) <= b.at+driver.Ptr(len(b.data)) {
			return b.data[p-b.at:][:n:n]
		}
	}
	panic(fmt.Sprintf("illegal memory access: %d bytes at %#x", n, uint64(p)))
}

// Of returns n values in the memory of a card.
func Of[T any](c *Card, p driver.Ptr, n int) []T {
	var zero T
	if n == 0 {
		return nil
	}
	if uintptr(p)%unsafe.Alignof(zero) != 0 {
		panic(fmt.Sprintf("misaligned address %#x for %T", uint64(p), zero))
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(c.Bytes(p, n*int(unsafe.Sizeof(zero)))))), n)
}

// Pinned is memory.
func (c *Card) Pinned(bytes int) ([]byte, error) {
	if err := c.fail("cuMemHostAlloc"); err != nil {
		return nil, err
	}
	words := make([]uint64, (bytes+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), bytes), nil
}

// Unpin does nothing.
func (c *Card) Unpin([]byte) error { return nil }

// Write copies to the card.
func (c *Card) Write(to driver.Ptr, from []byte) error {
	if err := c.fail("cuMemcpyHtoD"); err != nil {
		return err
	}
	copy(c.Bytes(to, len(from)), from)
	return nil
}

// Read copies from the card.
func (c *Card) Read(to []byte, from driver.Ptr) error {
	if err := c.fail("cuMemcpyDtoH"); err != nil {
		return err
	}
	copy(to, c.Bytes(from, len(to)))
	return nil
}

// Map returns nothing: kernels have addresses besides.
func (c *Card) Map(driver.Array) (driver.TensorMap, error) {
	return driver.TensorMap{}, c.fail("cuTensorMapEncodeTiled")
}

// Load returns all kernels, whatever the image.
func (c *Card) Load([]byte) (driver.Module, error) { return module{c}, c.fail("cuModuleLoadData") }

type module struct{ c *Card }

func (m module) Function(name string) (driver.Function, error) {
	if m.c.Kernels[name] == nil {
		return nil, fmt.Errorf("the fake card has no kernel %s", name)
	}
	return &function{m.c, name}, nil
}

type function struct {
	c    *Card
	name string
}

func (f *function) Name() string { return f.name }

func (f *function) AllowShared(bytes int) error {
	if bytes > f.c.info.Shared {
		return fmt.Errorf("%s: %d bytes of shared memory", f.name, bytes)
	}
	return nil
}

// NewStream returns a stream.
func (c *Card) NewStream() (driver.Stream, error) { return &stream{c: c}, c.fail("cuStreamCreate") }

// NewEvent returns an event that has always come.
func (c *Card) NewEvent() (driver.Event, error) { return event{}, c.fail("cuEventCreate") }

// Close does nothing.
func (c *Card) Close() error { return nil }

type stream struct {
	c         *Card
	recording bool
	recorded  []func() error
	failed    error // of work that nobody has waited for
}

// do does work, or records it.
func (s *stream) do(call string, f func()) error {
	work := func() error {
		if s.failed != nil {
			return s.failed
		}
		if s.failed = s.c.fail(call); s.failed == nil {
			f()
		}
		return s.failed
	}
	if s.recording {
		s.recorded = append(s.recorded, work)
		return nil
	}
	return work()
}

func (s *stream) Handle() uintptr { return 0 }

func (s *stream) Launch(f driver.Function, shape driver.Shape, params any) error {
	fn := f.(*function)
	from := reflect.ValueOf(params)
	if from.Kind() != reflect.Pointer || from.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("%s: a kernel takes a pointer to its struct, not %T", fn.name, params)
	}
	if shape.Block == 0 || shape.Block > 1024 || shape.Grid[0] == 0 || shape.Grid[1] == 0 || shape.Grid[2] == 0 || int(shape.Shared) > s.c.info.Shared {
		return fmt.Errorf("%s: invalid launch %+v", fn.name, shape)
	}
	copied := reflect.New(from.Elem().Type())
	copied.Elem().Set(from.Elem())
	kernel, argument := s.c.Kernels[fn.name], copied.Interface()
	return s.do("cuLaunchKernelEx", func() {
		s.c.mu.Lock()
		s.c.launches++
		s.c.mu.Unlock()
		kernel(s.c, shape, argument)
	})
}

func (s *stream) Upload(to driver.Ptr, from []byte) error {
	return s.do("cuMemcpyHtoDAsync", func() { copy(s.c.Bytes(to, len(from)), from) })
}

func (s *stream) Download(to []byte, from driver.Ptr) error {
	return s.do("cuMemcpyDtoHAsync", func() { copy(to, s.c.Bytes(from, len(to))) })
}

func (s *stream) Copy(to, from driver.Ptr, bytes int64) error {
	return s.do("cuMemcpyDtoDAsync", func() { copy(s.c.Bytes(to, int(bytes)), s.c.Bytes(from, int(bytes))) })
}

func (s *stream) Zero(at driver.Ptr, bytes int64) error {
	return s.do("cuMemsetD8Async", func() { clear(s.c.Bytes(at, int(bytes))) })
}

func (s *stream) Record(driver.Event) error { return nil }
func (s *stream) Wait(driver.Event) error   { return nil }

func (s *stream) Capture(do func() error) (driver.Graph, error) {
	if s.recording {
		return nil, errors.New("a capture is under way")
	}
	s.recording, s.recorded = true, nil
	err := do()
	s.recording = false
	if err == nil {
		err = s.c.fail("cuGraphInstantiate")
	}
	return &graph{s.recorded}, err
}

func (s *stream) Run(g driver.Graph) error {
	if err := s.c.fail("cuGraphLaunch"); err != nil {
		return err
	}
	s.c.mu.Lock()
	s.c.graphs++
	s.c.mu.Unlock()
	for _, work := range g.(*graph).work {
		if err := work(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) Sync() error {
	if s.failed != nil {
		return s.failed
	}
	return s.c.fail("cuStreamSynchronize")
}

func (s *stream) Close() error { return nil }

type event struct{}

func (event) Sync() error                         { return nil }
func (event) Since(driver.Event) (float32, error) { return 0, nil }
func (event) Close() error                        { return nil }

type graph struct{ work []func() error }

func (g *graph) Nodes() int   { return len(g.work) }
func (g *graph) Close() error { return nil }
