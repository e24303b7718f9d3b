package kernel

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// Epilogue is what becomes of products.
type Epilogue int32

// The epilogues. y is the f32 sum of a row, times the row's scale (F8), plus its bias.
const (
	// Store sets Out [rows, Stride] of f32.
	Store Epilogue = iota
	// Add adds to Out [rows, Stride] of f32.
	Add
	// Gated sets the first segment's Out [rows, Stride], 16 bits, to f(gate)·up of two
	// segments, of equal sizes.
	Gated
	// Activated sets Out [rows, Stride], 16 bits, to f(y).
	Activated
)

// Activation is the function of the last two, numbered as device.Activation is.
type Activation int32

// The activations.
const (
	SiLU Activation = iota
	GELUTanh
	ReLU
)

// Segment is one matrix of a product.
type Segment struct {
	W, Scale, Bias driver.Ptr // packed weights; f32 scales of rows (F8, else 0); f32 bias or 0
	Out            driver.Ptr
	Rows           int32 // of W
	Stride         int32 // elements from one row of Out to the next
}

// Product is products of one input with up to three matrices of one format.
type Product struct {
	Segments [3]Segment
	// X is the input [Rows, XStride] of 16 bits (Format.Half), XStride at least Pad(Cols).
	// With Norm it is f32, and each row is divided by √(mean(x²) + Eps) and multiplied by
	// Norm [Cols] first, with the bits of Set.Norm: that is for few rows, since every
	// block does it.
	X, Norm driver.Ptr
	// Scratch is room for F16 weights, to which those of other formats are expanded where
	// there are more than ManyRows rows: ScratchBytes.
	Scratch    driver.Ptr
	Count      int32 // segments
	Rows       int32 // of X
	Cols       int32
	XStride    int32
	Eps        float32
	Format     Format
	Epilogue   Epilogue
	Activation Activation

	// What is filled in when it is launched: of many rows the slots in shared memory, of few
	// whether the input comes in pieces.
	slots, streamed int32
}

// ManyRows is how many rows a product of quantised weights takes without expanding them.
const ManyRows = 32

// FewRows is how many rows the fused norm is for.
const FewRows = 4

// ScratchBytes returns the room that Scratch must have for products of more than ManyRows rows.
func ScratchBytes(f Format, cols int, rows ...int) int64 {
	if f == F16 || f == BF16 {
		return 0
	}
	bytes := int64(0)
	for _, n := range rows {
		bytes += F16.Bytes(n, cols)
	}
	return bytes
}

// Product launches it: one kernel, or with quantised weights and many rows one before it that
// expands them.
func (s *Set) Product(stream driver.Stream, p *Product, early bool) error {
	if p.Rows <= ManyRows {
		if c, ok := s.few(p); ok {
			return s.launchFew(stream, c, early, 0, p)
		}
	}
	if p.Norm != 0 {
		return fmt.Errorf("a product of %d rows of %d cannot normalise its input: ask for the norm first", p.Rows, p.Cols)
	}
	q := *p
	if p.Format != F16 && p.Format != BF16 {
		if p.Scratch == 0 {
			return fmt.Errorf("a product of %d rows needs room to expand its weights", p.Rows)
		}
		at := p.Scratch
		for i := range q.Segments[:p.Count] {
			w := &q.Segments[i]
			if err := s.Expand(stream, &Expand{From: w.W, To: at, Rows: w.Rows, Cols: p.Cols, Format: p.Format}, early); err != nil {
				return err
			}
			w.W = at
			at += driver.Ptr(F16.Bytes(int(w.Rows), int(p.Cols)))
		}
		q.Format, early = F16, false // the product reads weights before it waits for anything
	}
	c := s.many(&q)
	q.slots = int32(c.slots)
	return s.launch(stream, c.name, [3]int{ceil(int(p.Rows), c.rows), ceil(q.groups(), 8*c.teams), 1}, c.threads, c.shared, early, &q)
}

// ChainLength is how many products a chain has at most.
const ChainLength = 4

// Products are the parameters of a launch of few rows.
type Products struct {
	Products [ChainLength]Product
	Meetings driver.Ptr
	Count    int32
	Ring     int32 // bytes of shared memory for weights
}

// Chain launches products one behind the other, each of which may read what those in front of
// it wrote: as one kernel where it can, whose blocks meet in between while weights go on
// coming, with the bits of the products alone. Meetings is the address of a uint64 that was 0
// once and that only chains touch; chains that share one must not run at once, and since all
// blocks of a chain wait for each other, nor must chains of different streams.
func (s *Set) Chain(stream driver.Stream, ps []*Product, meetings driver.Ptr, early bool) error {
	if c, ok := s.chain(ps); ok && len(ps) > 1 {
		return s.launchFew(stream, c, early, meetings, ps...)
	}
	for _, p := range ps {
		if err := s.Product(stream, p, early); err != nil {
			return err
		}
		early = true
	}
	return nil
}

// Chains reports whether products would be one kernel.
func (s *Set) Chains(ps []*Product) bool {
	_, ok := s.chain(ps)
	return ok
}

// chain returns how products are launched together.
func (s *Set) chain(ps []*Product) (few, bool) {
	var all few
	if len(ps) > ChainLength || !s.hopper() {
		return all, false
	}
	for i, p := range ps {
		if p.Rows > ManyRows {
			return all, false
		}
		c, ok := s.few(p)
		if !ok || i > 0 && c.name != all.name {
			return all, false
		}
		c.input = max(c.input, all.input)
		all = c
	}
	all.blocks = s.card.Multiprocessors // they all meet
	return all, true
}

// launchFew launches products of few rows.
func (s *Set) launchFew(stream driver.Stream, c few, early bool, meetings driver.Ptr, ps ...*Product) error {
	q := &Products{Meetings: meetings, Count: int32(len(ps))}
	for i, p := range ps {
		q.Products[i] = *p
		if one, _ := s.few(p); one.streamed {
			q.Products[i].streamed = 1
		}
	}
	room := s.card.Shared - static
	ring := min(c.ring, room-c.input) / c.slot * c.slot
	q.Ring = int32(ring)
	shared := ring + c.input
	if s.hopper() {
		// Two blocks never share a multiprocessor: they would take each other's memory.
		shared = max(shared, s.card.Shared/2+1<<10)
	}
	return s.launch(stream, c.name, [3]int{c.blocks, 1, 1}, s.fewThreads(), shared, early, q)
}

// fewThreads are the threads of a block of few rows: 12 warps that compute and 4 that copy, or 8
// that compute.
func (s *Set) fewThreads() int {
	if s.hopper() {
		return 16 * 32
	}
	return 8 * 32
}

// formatNames are the formats in the names of kernels.
var formatNames = [formats]string{"f16", "bf16", "f8", "q8", "q6", "q4"}

// few is how products of few rows are launched: bytes of shared memory for weights, for a slot
// of them, and for the input.
type few struct {
	name                      string
	blocks, ring, slot, input int
	streamed                  bool
}

// few returns how, or that the input does not fit.
func (s *Set) few(p *Product) (few, bool) {
	most := 16
	for most < int(p.Rows) {
		most *= 2
	}
	// The code takes so many units of 64 columns at once.
	stage, ring := 4, 144<<10
	if !s.hopper() {
		stage, ring = 2, 72<<10
	}
	if p.Format > BF16 {
		stage *= 2
	}
	tiles := p.groups()
	if p.Epilogue == Gated {
		tiles /= 2
	}
	c := few{
		name: fmt.Sprintf("product_%s_%d", formatNames[p.Format], most), blocks: min(s.card.Multiprocessors, tiles),
		ring: ring, slot: stage * int(unitBytes[p.Format]), input: int(p.Rows) * (Pad(int(p.Cols))*2 + 16),
	}
	if !s.hopper() {
		const warps, ahead = 8, 3
		return c, c.input+ahead*warps*c.slot <= s.card.Shared-static
	}
	// An input that leaves the ring too little comes in pieces, but for one that the kernel
	// makes itself.
	if p.Norm == 0 && c.input > 40<<10 {
		c.streamed, c.input = true, 4*int(p.Rows)*(stage*128+16)
	}
	return c, c.input <= 140<<10
}

// InPlace reports whether Product reads the weights as they are packed, without Scratch, and
// can normalise its input.
func (s *Set) InPlace(p *Product) bool {
	if p.Rows > ManyRows {
		return false
	}
	_, ok := s.few(p)
	return ok
}

// groups returns the groups of 8 weight rows.
func (p *Product) groups() int {
	n := 0
	for _, w := range p.Segments[:p.Count] {
		n += ceil(int(w.Rows), 8)
	}
	return n
}

// many is how a product of many rows is launched: a block takes 64·teams weight rows, and so
// many of the input.
type many struct {
	name                                string
	teams, rows, threads, shared, slots int
}

// manyRows are how many rows of the input a block may take on Hopper.
var manyRows = []int{32, 80, 160, 256}

// sumRow is how far apart rows of sums are in shared memory.
const sumRow = 68

// many chooses among the sizes of blocks by how long the busiest multiprocessor has to work:
// it multiplies, and takes in what it multiplies.
func (s *Set) many(p *Product) many {
	if !s.hopper() {
		return many{name: fmt.Sprintf("product_%s_many", formatNames[p.Format]), teams: 2, rows: 64, threads: 256, shared: 3 * (16384 + 64*128)}
	}
	var best many
	least := 0.0
	for _, rows := range manyRows {
		for teams := 1; teams <= 3; teams++ {
			if rows == 256 && teams == 3 {
				continue // more sums than registers
			}
			// A multiprocessor multiplies, and takes weights and input in. Cycles, of a step of 64 columns.
			slot := teams*8192 + rows*128
			blocks := ceil(p.groups(), 8*teams) * ceil(int(p.Rows), rows)
			multiply := float64(teams*64*rows*64*2) / 3600
			takeIn := float64(slot) / 40
			steps := float64(ceil(int(p.Cols), padding))
			time := float64(ceil(blocks, s.card.Multiprocessors)) * (max(multiply, takeIn)*steps + 3000)
			if least == 0 || time < least {
				least = time
				slots := min(8, (s.card.Shared-static)/slot)
				best = many{fmt.Sprintf("product_%s_many_%d", formatNames[p.Format], rows), teams, rows, 128 * (teams + 1), max(slots*slot, teams*rows*sumRow*4), slots}
			}
		}
	}
	return best
}
