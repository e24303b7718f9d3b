//go:build linux && cuda

// Roofline measures the CUDA kernels on a card with the shape of Llama-2-7B and random
// weights: how long each takes beside what the card's memory or its tensor cores need
// for it, and how long a decode step, a prefill and a batch's step take.
//
// Times are by events around graphs, medians.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

// Llama-2-7B.
const (
	layers, hidden, heads, dim, inner, vocab = 32, 4096, 32, 128, 11008, 32000
	maxRows, maxTokens                       = 4352, 4608
)

func main() {
	what := flag.String("what", "products,step,prefill,batch", "what to measure")
	formats := flag.String("formats", "f16,f8,q8,q4", "formats of weights")
	rows := flag.String("rows", "1,8,16,32,64,146,512,1154,4226", "of products")
	rate := flag.Float64("rate", 4.4, "what the card's memory gives, TB/s")
	flag.Parse()
	if err := run(*what, *formats, *rows, *rate*1e9); err != nil {
		fmt.Fprintln(os.Stderr, "roofline:", err)
		os.Exit(1)
	}
}

var names = []string{"f16", "bf16", "f8", "q8", "q6", "q4"}

func run(what, formats, rows string, rate float64) error {
	var counts []int
	for n := range strings.SplitSeq(rows, ",") {
		count, err := strconv.Atoi(n)
		if err != nil || count < 1 || count > maxRows {
			return fmt.Errorf("-rows: %q is not a number from 1 to %d", n, maxRows)
		}
		counts = append(counts, count)
	}
	d, err := driver.Open(0)
	if err != nil {
		return err
	}
	defer d.Close()
	fmt.Printf("%+v\n", d.Info())
	set, err := kernel.Load(d)
	if err != nil {
		return err
	}
	stream, err := d.NewStream()
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(formats, ",") {
		m := &machine{d: d, set: set, stream: stream, format: kernel.Format(slices.Index(names, name)), rate: rate, rows: counts}
		if err := m.load(); err != nil {
			return err
		}
		for part := range strings.SplitSeq(what, ",") {
			switch part {
			case "products":
				m.products()
			case "step":
				m.steps()
			case "prefill":
				m.prefills()
			case "batch":
				m.batches()
			case "attention":
				m.attentions()
			case "once":
				m.once()
			}
			if m.err != nil {
				return m.err
			}
		}
		m.free()
	}
	return nil
}

// matrix is packed weights.
type matrix struct {
	w, scale   driver.Ptr
	rows, cols int
}

type layer struct{ q, k, v, o, gate, up, down matrix }

// machine is a model of random weights on a card. The first error ends it.
type machine struct {
	d      driver.Driver
	set    *kernel.Set
	stream driver.Stream
	format kernel.Format
	rate   float64 // bytes a millisecond
	rows   []int   // of products
	err    error

	taken  []driver.Ptr
	layers []layer
	head   matrix
	bytes  float64

	embedding, ones, x, normed, q, k, v, queries, attended, gated, logits     driver.Ptr
	cos, sin, tokens, slots, groups, splits, parts, counters, choices, chosen driver.Ptr
	scratch                                                                   driver.Ptr
	kv                                                                        []kernel.KV
	groupList                                                                 []kernel.Group
	maxSplit, maxCount                                                        int
}

func (m *machine) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *machine) alloc(bytes int64) driver.Ptr {
	p, err := m.d.Alloc(bytes)
	m.fail(err)
	if err == nil {
		m.taken = append(m.taken, p)
		m.fail(m.stream.Zero(p, bytes))
	}
	return p
}

func (m *machine) free() {
	m.fail(m.stream.Sync())
	for _, p := range m.taken {
		m.fail(m.d.Free(p))
	}
}

func (m *machine) random(p driver.Ptr, count int64, std float32, stored kernel.Stored) {
	m.fail(m.set.Random(m.stream, &kernel.Random{To: p, Count: uint64(count), Seed: uint64(len(m.taken)), Std: std, Stored: stored}))
}

// matrix makes weights. What f16 numbers hold are codes and scales too, and all are numbers.
func (m *machine) matrix(rows, cols int) matrix {
	bytes := m.format.Bytes(rows, cols)
	w := matrix{m.alloc(bytes), 0, rows, cols}
	std := float32(0.02)
	if m.format > kernel.F8 {
		std = 0.0002
	}
	m.random(w.w, bytes/2, std, kernel.StoredF16)
	if m.format == kernel.F8 {
		w.scale = m.alloc(int64(rows) * 4)
		m.random(w.scale, int64(rows), 0.0002, kernel.StoredF32)
	}
	m.bytes += float64(bytes)
	return w
}

func (m *machine) load() error {
	for range layers {
		m.layers = append(m.layers, layer{
			m.matrix(hidden, hidden), m.matrix(hidden, hidden), m.matrix(hidden, hidden), m.matrix(hidden, hidden),
			m.matrix(inner, hidden), m.matrix(inner, hidden), m.matrix(hidden, inner),
		})
	}
	m.head = m.matrix(vocab, hidden)
	m.embedding, m.ones = m.alloc(vocab*hidden*2), m.alloc(hidden*4)
	m.random(m.embedding, vocab*hidden, 0.5, kernel.StoredF16)
	m.random(m.ones, hidden, 1, kernel.StoredF32)
	f32 := func(width int) driver.Ptr { return m.alloc(maxRows * int64(width) * 4) }
	half := func(width int) driver.Ptr { return m.alloc(maxRows * int64(width) * 2) }
	m.x, m.normed, m.q, m.k, m.v = f32(hidden), half(hidden), f32(hidden), f32(hidden), f32(hidden)
	m.queries, m.attended, m.gated, m.logits = half(hidden), half(hidden), half(inner), m.alloc(64*vocab*4)
	m.cos, m.sin = f32(dim/2), f32(dim/2)
	m.random(m.cos, maxRows*dim/2, 1, kernel.StoredF32)
	m.random(m.sin, maxRows*dim/2, 1, kernel.StoredF32)
	m.tokens, m.slots, m.choices, m.chosen = m.alloc(maxRows*4), m.alloc(maxRows*4), m.alloc(64*24), m.alloc(64*8)
	m.groups, m.splits = m.alloc(64*32), m.alloc(1<<20)
	m.parts, m.counters = m.alloc(512<<20), m.alloc(1<<20)
	if m.format > kernel.BF16 {
		m.scratch = m.alloc(kernel.ScratchBytes(m.format, hidden, inner, inner))
	}
	page := kernel.PageBytes(heads, dim)
	for range layers {
		base := m.alloc(maxTokens / kernel.PageTokens * page)
		m.random(base, maxTokens/kernel.PageTokens*page/2, 1, kernel.StoredF16)
		m.kv = append(m.kv, kernel.KV{Base: base, PageStride: uint64(page)})
	}
	m.fail(m.stream.Sync())
	return m.err
}

// view sets so many sequences of so many rows each behind a context.
func (m *machine) view(sequences, rows, context int) {
	var groups []kernel.Group
	var splits []kernel.Split
	var slots []int32
	pages := (context + rows + kernel.PageTokens - 1) / kernel.PageTokens
	for s := range sequences {
		g := kernel.Group{First: int32(s * rows), Count: int32(rows), Splits: int32(len(splits)), Position: int32(context)}
		for at := 0; at < context+rows; at += kernel.SplitKeys {
			split := kernel.Split{Count: int32(min(kernel.SplitKeys, context+rows-at)), Diagonal: int32(context - at), Position: int32(at)}
			if at+kernel.SplitKeys <= context {
				split.Flags = kernel.Settled
			}
			for i := range split.Pages {
				split.Pages[i] = int32(min(s*pages+at/kernel.PageTokens+i, (s+1)*pages-1))
			}
			splits = append(splits, split)
			g.SplitCount++
		}
		for r := range rows {
			slots = append(slots, int32((s*pages+(context+r)/kernel.PageTokens)*kernel.PageTokens+(context+r)%kernel.PageTokens))
		}
		groups = append(groups, g)
		m.maxSplit = int(g.SplitCount)
	}
	m.groupList, m.maxCount = groups, rows
	m.fail(m.d.Write(m.groups, bytesOf(groups)))
	m.fail(m.d.Write(m.splits, bytesOf(splits)))
	m.fail(m.d.Write(m.slots, bytesOf(slots)))
}
