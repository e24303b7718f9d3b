//go:build linux && cuda

package main

import (
	"reflect"
	"slices"
	"unsafe"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

func bytesOf[T any](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(reflect.TypeFor[T]().Size()))
}

// time returns the median milliseconds of a graph of what do launches.
func (m *machine) time(repeats int, do func()) float64 {
	graph, err := m.stream.Capture(func() error { do(); return m.err })
	if m.fail(err); m.err != nil {
		return 0
	}
	defer graph.Close()
	from, err := m.d.NewEvent()
	m.fail(err)
	to, err := m.d.NewEvent()
	m.fail(err)
	var times []float32
	for i := range repeats + 2 {
		m.fail(m.stream.Record(from))
		m.fail(m.stream.Run(graph))
		m.fail(m.stream.Record(to))
		m.fail(to.Sync())
		if m.err != nil {
			return 0
		}
		t, err := to.Since(from)
		m.fail(err)
		if i >= 2 {
			times = append(times, t)
		}
	}
	slices.Sort(times)
	return float64(times[len(times)/2])
}

// product launches one; norm says that the input is the residual stream.
func (m *machine) product(rows int, norm bool, x driver.Ptr, outs []driver.Ptr, epilogue kernel.Epilogue, ws ...matrix) {
	p := &kernel.Product{X: x, Count: int32(len(ws)), Rows: int32(rows), Cols: int32(ws[0].cols), XStride: int32(ws[0].cols), Eps: 1e-5,
		Format: m.format, Epilogue: epilogue, Scratch: m.scratch}
	for i, w := range ws {
		p.Segments[i] = kernel.Segment{W: w.w, Scale: w.scale, Rows: int32(w.rows), Stride: int32(w.rows)}
		if i < len(outs) {
			p.Segments[i].Out = outs[i]
		}
	}
	if norm && rows <= kernel.FewRows {
		p.X, p.Norm = m.x, m.ones
	} else if norm {
		m.fail(m.set.Norm(m.stream, &kernel.Norm{X: m.x, To: m.normed, Scale: m.ones, Rows: int32(rows), Width: hidden, XStride: hidden, ToStride: hidden, Eps: 1e-5, Half: 1}, true))
		p.X = m.normed
	}
	m.fail(m.set.Product(m.stream, p, true))
}

func (m *machine) qkv(l layer, rows int) {
	m.product(rows, true, 0, []driver.Ptr{m.q, m.k, m.v}, kernel.Store, l.q, l.k, l.v)
}
func (m *machine) o(l layer, rows int) {
	m.product(rows, false, m.attended, []driver.Ptr{m.x}, kernel.Add, l.o)
}
func (m *machine) gate(l layer, rows int) {
	m.product(rows, true, 0, []driver.Ptr{m.gated}, kernel.Gated, l.gate, l.up)
}
func (m *machine) down(l layer, rows int) {
	m.product(rows, false, m.gated, []driver.Ptr{m.x}, kernel.Add, l.down)
}

// attend launches the attention of a layer over the view.
func (m *machine) attend(i, rows int) {
	kv := m.kv[i%len(m.kv)]
	turn := kernel.Rotate{KV: kv, Q: m.q, K: m.k, V: m.v, To: m.queries, Cos: m.cos, Sin: m.sin, Slots: m.slots, Rows: int32(rows),
		QStride: hidden, KStride: hidden, VStride: hidden, Heads: heads, KVHeads: heads, HeadDim: dim, Pairs: dim / 2, TurnWidth: dim / 2, Halves: 1}
	if m.maxCount <= kernel.FreshRows {
		m.attention(kv, turn)
		return
	}
	m.fail(m.set.Rotate(m.stream, &turn, true))
	m.attention(kv, kernel.Rotate{})
}

func (m *machine) attention(kv kernel.KV, fresh kernel.Rotate) {
	p := &kernel.Attend{KV: kv, Q: m.queries, Out: m.attended, Groups: m.groups, Splits: m.splits, Parts: m.parts, Counters: m.counters,
		Count: int32(len(m.groupList)), MaxRows: int32(m.maxCount), MaxSplit: int32(m.maxSplit), Heads: heads, KVHeads: heads, HeadDim: dim,
		OutStride: hidden, Scale: 0.088388346, Half: 1, Fresh: fresh}
	if m.maxCount <= kernel.AttendFewRows {
		m.fail(m.set.AttendFew(m.stream, p, true))
		return
	}
	m.fail(m.set.AttendMany(m.stream, p, true))
}

// forward launches one of rows, wanted of which go through the head.
func (m *machine) forward(rows, wanted int) {
	m.fail(m.set.Embed(m.stream, &kernel.Embed{Tokens: m.tokens, Table: m.embedding, X: m.x, Rows: int32(rows), Width: hidden, Stride: hidden, Stored: kernel.StoredF16}, false))
	for i, l := range m.layers {
		m.qkv(l, rows)
		m.attend(i, rows)
		m.o(l, rows)
		m.gate(l, rows)
		m.down(l, rows)
	}
	m.product(wanted, true, 0, []driver.Ptr{m.logits}, kernel.Store, m.head)
	m.fail(m.set.Choose(m.stream, &kernel.Choose{Logits: m.logits, Choices: m.choices, Tokens: m.chosen, Finite: m.chosen + 64*4, Rows: int32(wanted), Vocab: vocab, Stride: vocab}, true))
}
