//go:build cuda && linux && (amd64 || arm64)

package driver

import (
	"fmt"
	"reflect"
	"runtime"
	"unsafe"
)

type stream struct {
	c      *card
	handle uintptr
}

func (s *stream) Handle() uintptr { return s.handle }

func (s *stream) Launch(f Function, shape Shape, params any) error {
	fn := f.(*function)
	value := reflect.ValueOf(params)
	if value.Kind() != reflect.Pointer || value.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("%s: a kernel takes a pointer to its struct, not %T", fn.name, params)
	}
	// What the driver reads through pointers is in memory that stays: the collector does
	// not move the heap, and pinning says that it is read elsewhere.
	var pinner runtime.Pinner
	defer pinner.Unpin()
	config := &launchConfig{grid: shape.Grid, block: [3]uint32{shape.Block, 1, 1}, shared: shape.Shared, stream: s.handle}
	if shape.Early {
		config.attributes = &launchAttribute{id: programmatic, value: [16]uint32{1}}
		config.count = 1
		pinner.Pin(config.attributes)
	}
	argument := new(unsafe.Pointer)
	*argument = value.UnsafePointer()
	pinner.Pin(*argument)
	return s.c.do("cuLaunchKernelEx "+fn.name, func() int32 { return s.c.cuLaunchKernelEx(config, fn.handle, argument, 0) })
}

func (s *stream) Upload(to Ptr, from []byte) error {
	return s.c.do("cuMemcpyHtoDAsync", func() int32 {
		return s.c.cuMemcpyHtoDAsync(to, unsafe.Pointer(unsafe.SliceData(from)), uint64(len(from)), s.handle)
	})
}

func (s *stream) Download(to []byte, from Ptr) error {
	return s.c.do("cuMemcpyDtoHAsync", func() int32 {
		return s.c.cuMemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(to)), from, uint64(len(to)), s.handle)
	})
}

func (s *stream) Copy(to, from Ptr, bytes int64) error {
	return s.c.do("cuMemcpyDtoDAsync", func() int32 { return s.c.cuMemcpyDtoDAsync(to, from, uint64(bytes), s.handle) })
}

func (s *stream) Zero(at Ptr, bytes int64) error {
	return s.c.do("cuMemsetD8Async", func() int32 { return s.c.cuMemsetD8Async(at, 0, uint64(bytes), s.handle) })
}

func (s *stream) Record(e Event) error {
	return s.c.do("cuEventRecord", func() int32 { return s.c.cuEventRecord(e.(*event).handle, s.handle) })
}

func (s *stream) Wait(e Event) error {
	return s.c.do("cuStreamWaitEvent", func() int32 { return s.c.cuStreamWaitEvent(s.handle, e.(*event).handle, 0) })
}

func (s *stream) Capture(do func() error) (Graph, error) {
	const relaxed = 2 // other threads may call what they like meanwhile
	if err := s.c.do("cuStreamBeginCapture", func() int32 { return s.c.cuStreamBeginCapture(s.handle, relaxed) }); err != nil {
		return nil, err
	}
	failed := do()
	var recorded uintptr
	err := s.c.do("cuStreamEndCapture", func() int32 { return s.c.cuStreamEndCapture(s.handle, &recorded) })
	if recorded != 0 {
		defer s.c.do("cuGraphDestroy", func() int32 { return s.c.cuGraphDestroy(recorded) })
	}
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	g := &graph{c: s.c}
	var nodes uint64
	if err := s.c.do("cuGraphGetNodes", func() int32 { return s.c.cuGraphGetNodes(recorded, nil, &nodes) }); err != nil {
		return nil, err
	}
	g.nodes = int(nodes)
	err = s.c.do("cuGraphInstantiate", func() int32 { return s.c.cuGraphInstantiateWithFlags(&g.exec, recorded, 0) })
	return g, err
}

func (s *stream) Run(g Graph) error {
	return s.c.do("cuGraphLaunch", func() int32 { return s.c.cuGraphLaunch(g.(*graph).exec, s.handle) })
}

func (s *stream) Sync() error {
	return s.c.do("cuStreamSynchronize", func() int32 { return s.c.cuStreamSynchronize(s.handle) })
}

func (s *stream) Close() error {
	return s.c.do("cuStreamDestroy", func() int32 { return s.c.cuStreamDestroy(s.handle) })
}

type event struct {
	c      *card
	handle uintptr
}

func (e *event) Sync() error {
	return e.c.do("cuEventSynchronize", func() int32 { return e.c.cuEventSynchronize(e.handle) })
}

func (e *event) Since(earlier Event) (float32, error) {
	var ms float32
	err := e.c.do("cuEventElapsedTime", func() int32 { return e.c.cuEventElapsedTime(&ms, earlier.(*event).handle, e.handle) })
	return ms, err
}

func (e *event) Close() error {
	return e.c.do("cuEventDestroy", func() int32 { return e.c.cuEventDestroy(e.handle) })
}

type graph struct {
	c     *card
	exec  uintptr
	nodes int
}

func (g *graph) Nodes() int { return g.nodes }

func (g *graph) Close() error {
	return g.c.do("cuGraphExecDestroy", func() int32 { return g.c.cuGraphExecDestroy(g.exec) })
}
