//go:build linux && cuda

package main

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

// products measures each product of a layer beside the reading of its weights and its
// operations at 800 TFLOP/s.
func (m *machine) products() {
	m.view(1, 1, 0)
	for _, rows := range m.rows {
		total, floor := 0.0, 0.0
		fmt.Printf("%s, products of %d rows, us (share of the floor):", names[m.format], rows)
		for _, p := range []struct {
			name string
			do   func(l layer, rows int)
			rows int
			cols int
		}{{"qkv", m.qkv, 3 * hidden, hidden}, {"o", m.o, hidden, hidden}, {"gate-up", m.gate, 2 * inner, hidden}, {"down", m.down, hidden, inner}} {
			ms := m.time(7, func() {
				for _, l := range m.layers {
					p.do(l, rows)
				}
			})
			least := layers * max(float64(m.format.Bytes(p.rows, p.cols))/m.rate, 2*float64(rows)*float64(p.rows*p.cols)/800e9)
			total, floor = total+ms, floor+least
			fmt.Printf("  %s %.1f (%.0f %%)", p.name, ms*1e3/layers, least/ms*100)
		}
		fmt.Printf("  32 layers %.3f ms (%.0f %%)\n", total, floor/total*100)
	}
	head := m.time(7, func() { m.product(1, true, 0, []driver.Ptr{m.logits}, kernel.Store, m.head) })
	fmt.Printf("%s, head %.1f us (%.0f %%)\n", names[m.format], head*1e3, float64(m.format.Bytes(vocab, hidden))/m.rate/head*100)
}

// steps measures decode steps.
func (m *machine) steps() {
	for _, depth := range []int{16, 1024, 2048, 4096} {
		for _, rows := range []int{1, 8, 16, 32} {
			if rows > 1 && depth != 1024 {
				continue
			}
			m.view(1, rows, depth)
			ms := m.time(15, func() { m.forward(rows, 1) })
			floor := (m.bytes + float64(depth+rows)*layers*4*hidden) / m.rate
			fmt.Printf("%s, step of %d rows at depth %d: %.3f ms, floor %.3f (%.0f %%)\n", names[m.format], rows, depth, ms, floor, floor/ms*100)
		}
	}
}

// attentions measures attention alone, and what each layer has besides products.
func (m *machine) attentions() {
	for _, rows := range []int{1, 8, 17, 32} {
		for _, depth := range []int{1024, 2048, 4096} {
			m.view(1, rows, depth)
			ms := m.time(9, func() {
				for i := range layers {
					m.attention(m.kv[i], kernel.Rotate{})
				}
			})
			with := m.time(9, func() {
				for i := range layers {
					m.attend(i, rows)
				}
			})
			floor := float64(depth+rows) * layers * 4 * hidden / m.rate
			fmt.Printf("attention of %d rows at depth %d: %.3f ms for 32 layers, with rotation %.3f, floor %.3f (%.0f %%)\n", rows, depth, ms, with, floor, floor/ms*100)
		}
	}
}

// prefills measures forwards of many rows: a stride's with evidence, and whole texts.
func (m *machine) prefills() {
	for _, c := range [][2]int{{146, 878}, {146, 1902}, {146, 3950}, {1154, 0}, {2178, 0}, {4226, 0}} {
		rows, depth := c[0], c[1]
		m.view(1, rows, depth)
		ms := m.time(5, func() { m.forward(rows, 1) })
		attention := m.time(5, func() {
			for i := range layers {
				m.attention(m.kv[i], kernel.Rotate{})
			}
		})
		fmt.Printf("%s, prefill of %d behind %d: %.2f ms, of which attention %.2f\n", names[m.format], rows, depth, ms, attention)
	}
}

// batches measures decode steps of several sequences.
func (m *machine) batches() {
	kv := m.kv
	defer func() { m.kv = kv }()
	for _, sequences := range []int{8, 32, 64} {
		// A batch's keys and values of one layer exceed the cache by far, so layers may share them.
		const depth = 2048
		page := kernel.PageBytes(heads, dim)
		pages := int64(sequences * (depth/kernel.PageTokens + 1))
		base, err := m.d.Alloc(2 * pages * page)
		if m.fail(err); m.err != nil {
			return
		}
		m.random(base, pages*page, 1, kernel.StoredF16)
		m.kv = []kernel.KV{{Base: base, PageStride: uint64(page)}, {Base: base + driver.Ptr(pages*page), PageStride: uint64(page)}}
		m.view(sequences, 1, depth)
		ms := m.time(7, func() { m.forward(sequences, sequences) })
		attention := m.time(5, func() {
			for i := range layers {
				m.attention(m.kv[i%2], kernel.Rotate{})
			}
		})
		floor := (m.bytes + float64(sequences)*(depth+1)*layers*4*hidden) / m.rate
		fmt.Printf("%s, step of %d sequences at depth %d: %.2f ms, of which attention %.2f; floor %.2f (%.0f %%)\n", names[m.format], sequences, depth, ms, attention, floor, floor/ms*100)
		m.fail(m.stream.Sync())
		m.fail(m.d.Free(base))
	}
}

// once launches the largest kernels once, outside of graphs: for a profiler.
func (m *machine) once() {
	l := m.layers
	m.view(1, 1, 4096)
	for i, rows := range []int{1, 16, 32, 146} {
		m.qkv(l[8*i], rows)
		m.o(l[8*i+1], rows)
		m.gate(l[8*i+2], rows)
		m.down(l[8*i+3], rows)
	}
	m.attend(0, 1)
	m.view(1, 17, 4096)
	m.attend(2, 17)
	m.view(1, 146, 1902)
	m.attend(1, 146)
	m.view(1, 4226, 0)
	m.gate(l[12], 4226)
	m.o(l[13], 4226)
	m.attend(3, 4226)
	m.fail(m.stream.Sync())
}
