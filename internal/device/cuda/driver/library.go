//go:build cuda && linux && (amd64 || arm64)

package driver

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// launchConfig is CUlaunchConfig.
type launchConfig struct {
	grid, block [3]uint32
	shared      uint32
	stream      uintptr
	attributes  *launchAttribute
	count       uint32
}

// launchAttribute is CUlaunchAttribute.
type launchAttribute struct {
	id, _ uint32
	value [16]uint32
}

// programmatic is CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION.
const programmatic = 6

// library is libcuda: its functions, under the names of its reference.
type library struct {
	cuInit                      func(flags uint32) int32
	cuGetErrorString            func(code int32, text **byte) int32
	cuDriverGetVersion          func(*int32) int32
	cuDeviceGetCount            func(*int32) int32
	cuDeviceGet                 func(device *int32, ordinal int32) int32
	cuDeviceGetName             func(name *byte, n int32, device int32) int32
	cuDeviceGetAttribute        func(value *int32, attribute, device int32) int32
	cuDeviceTotalMem            func(bytes *uint64, device int32) int32
	cuDevicePrimaryCtxRetain    func(context *uintptr, device int32) int32
	cuDevicePrimaryCtxRelease   func(device int32) int32
	cuCtxSetCurrent             func(context uintptr) int32
	cuMemGetInfo                func(free, total *uint64) int32
	cuMemAlloc                  func(*Ptr, uint64) int32
	cuMemFree                   func(Ptr) int32
	cuMemHostAlloc              func(p *unsafe.Pointer, bytes uint64, flags uint32) int32
	cuMemFreeHost               func(unsafe.Pointer) int32
	cuMemcpyHtoD                func(to Ptr, from unsafe.Pointer, bytes uint64) int32
	cuMemcpyDtoH                func(to unsafe.Pointer, from Ptr, bytes uint64) int32
	cuMemcpyHtoDAsync           func(to Ptr, from unsafe.Pointer, bytes uint64, stream uintptr) int32
	cuMemcpyDtoHAsync           func(to unsafe.Pointer, from Ptr, bytes uint64, stream uintptr) int32
	cuMemcpyDtoDAsync           func(to, from Ptr, bytes uint64, stream uintptr) int32
	cuMemsetD8Async             func(at Ptr, value uint8, bytes uint64, stream uintptr) int32
	cuTensorMapEncodeTiled      func(to unsafe.Pointer, kind, rank uint32, at Ptr, size, strides *uint64, piece, steps *uint32, interleave, swizzle, promotion, fill uint32) int32
	cuModuleLoadData            func(module *uintptr, image unsafe.Pointer) int32
	cuModuleGetFunction         func(function *uintptr, module uintptr, name string) int32
	cuFuncSetAttribute          func(function uintptr, attribute, value int32) int32
	cuLaunchKernelEx            func(config *launchConfig, function uintptr, params *unsafe.Pointer, extra uintptr) int32
	cuStreamCreate              func(stream *uintptr, flags uint32) int32
	cuStreamDestroy             func(stream uintptr) int32
	cuStreamSynchronize         func(stream uintptr) int32
	cuStreamWaitEvent           func(stream, event uintptr, flags uint32) int32
	cuStreamBeginCapture        func(stream uintptr, mode uint32) int32
	cuStreamEndCapture          func(stream uintptr, graph *uintptr) int32
	cuEventCreate               func(event *uintptr, flags uint32) int32
	cuEventDestroy              func(event uintptr) int32
	cuEventRecord               func(event, stream uintptr) int32
	cuEventSynchronize          func(event uintptr) int32
	cuEventElapsedTime          func(ms *float32, from, to uintptr) int32
	cuGraphGetNodes             func(graph uintptr, nodes *uintptr, count *uint64) int32
	cuGraphInstantiateWithFlags func(exec *uintptr, graph uintptr, flags uint64) int32
	cuGraphLaunch               func(exec, stream uintptr) int32
	cuGraphDestroy              func(graph uintptr) int32
	cuGraphExecDestroy          func(exec uintptr) int32
}

// paths are where the driver's library is, in order.
var paths = []string{"libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"}

// open loads the library once.
var open = sync.OnceValues(func() (*library, error) {
	var handle uintptr
	var err error
	for _, path := range paths {
		if handle, err = purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its driver's library libcuda.so.1 is not installed", ErrNone)
	}
	l := &library{}
	for _, f := range l.functions() {
		address, err := purego.Dlsym(handle, f.symbol)
		if err != nil {
			return nil, fmt.Errorf("%w that can be used: its driver has no function %s; update the driver", ErrNone, f.symbol)
		}
		purego.RegisterFunc(f.to, address)
	}
	return l, nil
})

type symbol struct {
	to     any
	symbol string
}

func (l *library) functions() []symbol {
	return []symbol{
		{&l.cuInit, "cuInit"},
		{&l.cuGetErrorString, "cuGetErrorString"},
		{&l.cuDriverGetVersion, "cuDriverGetVersion"},
		{&l.cuDeviceGetCount, "cuDeviceGetCount"},
		{&l.cuDeviceGet, "cuDeviceGet"},
		{&l.cuDeviceGetName, "cuDeviceGetName"},
		{&l.cuDeviceGetAttribute, "cuDeviceGetAttribute"},
		{&l.cuDeviceTotalMem, "cuDeviceTotalMem_v2"},
		{&l.cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain"},
		{&l.cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2"},
		{&l.cuCtxSetCurrent, "cuCtxSetCurrent"},
		{&l.cuMemGetInfo, "cuMemGetInfo_v2"},
		{&l.cuMemAlloc, "cuMemAlloc_v2"},
		{&l.cuMemFree, "cuMemFree_v2"},
		{&l.cuMemHostAlloc, "cuMemHostAlloc"},
		{&l.cuMemFreeHost, "cuMemFreeHost"},
		{&l.cuMemcpyHtoD, "cuMemcpyHtoD_v2"},
		{&l.cuMemcpyDtoH, "cuMemcpyDtoH_v2"},
		{&l.cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2"},
		{&l.cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2"},
		{&l.cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2"},
		{&l.cuMemsetD8Async, "cuMemsetD8Async"},
		{&l.cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled"},
		{&l.cuModuleLoadData, "cuModuleLoadData"},
		{&l.cuModuleGetFunction, "cuModuleGetFunction"},
		{&l.cuFuncSetAttribute, "cuFuncSetAttribute"},
		{&l.cuLaunchKernelEx, "cuLaunchKernelEx"},
		{&l.cuStreamCreate, "cuStreamCreate"},
		{&l.cuStreamDestroy, "cuStreamDestroy_v2"},
		{&l.cuStreamSynchronize, "cuStreamSynchronize"},
		{&l.cuStreamWaitEvent, "cuStreamWaitEvent"},
		{&l.cuStreamBeginCapture, "cuStreamBeginCapture_v2"},
		{&l.cuStreamEndCapture, "cuStreamEndCapture"},
		{&l.cuEventCreate, "cuEventCreate"},
		{&l.cuEventDestroy, "cuEventDestroy_v2"},
		{&l.cuEventRecord, "cuEventRecord"},
		{&l.cuEventSynchronize, "cuEventSynchronize"},
		{&l.cuEventElapsedTime, "cuEventElapsedTime"},
		{&l.cuGraphGetNodes, "cuGraphGetNodes"},
		{&l.cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags"},
		{&l.cuGraphLaunch, "cuGraphLaunch"},
		{&l.cuGraphDestroy, "cuGraphDestroy"},
		{&l.cuGraphExecDestroy, "cuGraphExecDestroy"},
	}
}

// check turns what a call returned to an error.
func (l *library) check(call string, code int32) error {
	if code == 0 {
		return nil
	}
	e := &Error{Call: call, Code: int(code), Text: "unknown error"}
	var text *byte
	if l.cuGetErrorString(code, &text) == 0 && text != nil {
		e.Text = cString(text)
	}
	return e
}

// cString returns the text that a pointer of the library's stands for.
func cString(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
