package kernel

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// Few are the parameters of a launch of few rows.
type Few struct {
	Product
	Share Share
	Ring  int32 // bytes of shared memory for weights
	_     int32
}

// Share is how blocks share out a product's items, of two tiles of 8 weight rows: each has Items of
// them, the first More blocks one more. So many groups of warps are active in a block, and
// each of their warps has so many slots in the ring.
type Share struct{ Items, More, Active, Depth, ActiveMore, DepthMore int32 }

// shareOut shares items out among blocks with so many slots. Fewer groups are active where there
// would be one slot for a warp: what it reads and what arrives meanwhile are two.
func shareOut(items, blocks, groups, slots int) Share {
	groups = max(1, min(groups, slots/(2*chains)))
	one := func(items int) (int32, int32) {
		active := 1
		if rounds := ceil(items, groups); rounds > 0 {
			active = ceil(items, rounds)
		}
		return int32(active), int32(min(slots/(active*chains), 16))
	}
	s := Share{Items: int32(items / blocks), More: int32(items % blocks)}
	s.Active, s.Depth = one(items / blocks)
	s.ActiveMore, s.DepthMore = one(items/blocks + 1)
	return s
}

// launchFew launches a product of few rows.
func (s *Set) launchFew(stream driver.Stream, c few, early bool, p *Product) error {
	ring := min(c.ring, s.card.Shared-static-c.input) / c.slot * c.slot
	q := &Few{Product: *p, Share: shareOut(c.items, c.blocks, s.fewGroups(), min(ring/c.slot, mostSlots)), Ring: int32(ring)}
	if c.streamed {
		q.streamed = 1
	}
	shared := ring + c.input
	if s.hopper() {
		// Two blocks never share a multiprocessor: they would take each other's memory.
		shared = max(shared, s.card.Shared/2+1<<10)
	}
	return s.launch(stream, c.name, [3]int{c.blocks, 1, 1}, s.fewThreads(), shared, early, q)
}

// What the code for few rows has: chains of a sum, and slots at most.
const (
	chains    = 4
	mostSlots = 96
)

// fewGroups are how many groups of four warps compute in a block of few rows.
func (s *Set) fewGroups() int {
	if s.hopper() {
		return 3
	}
	return 2
}

// fewThreads are the threads of a block of few rows: on Hopper 4 warps more copy.
func (s *Set) fewThreads() int {
	if s.hopper() {
		return (s.fewGroups()*chains + 4) * 32
	}
	return s.fewGroups() * chains * 32
}

// fewRows are the rows of the input that the kernels of few rows take at most.
var fewRows = []int{8, 16}

// few is how products of few rows are launched: bytes of shared memory for weights, for a slot
// of them, and for the input.
type few struct {
	name              string
	items, blocks     int
	ring, slot, input int
	streamed          bool
}

// few returns how, or that the rows are many or the input does not fit.
func (s *Set) few(p *Product) (few, bool) {
	// Of 16 bits nine rows and more are faster as many.
	if p.Rows > 16 || p.Rows > 8 && p.Format <= BF16 && s.hopper() {
		return few{}, false
	}
	i := 0
	for fewRows[i] < int(p.Rows) {
		i++
	}
	// The code takes so many units of 64 columns at once, of two tiles of 8 weight rows.
	stage, ring := 2, s.card.Shared
	if !s.hopper() {
		stage, ring = 1, 72<<10
	}
	switch {
	case p.Format == Q4:
		stage *= 4
	case p.Format > BF16:
		stage *= 2
	}
	items := 0
	for _, w := range p.Segments[:p.Count] {
		items += ceil(int(w.Rows), 16)
	}
	if p.Epilogue == Gated {
		items = ceil(int(p.Segments[0].Rows), 8)
	}
	c := few{
		name: fmt.Sprintf("product_%s_%d", formatNames[p.Format], fewRows[i]), items: items, blocks: min(s.card.Multiprocessors, items),
		ring: ring, slot: 2 * stage * int(unitBytes[p.Format]), input: int(p.Rows) * (Pad(int(p.Cols))*2 + 16),
	}
	if !s.hopper() {
		// Sums have a place of their own.
		const ahead = 3
		warps := s.fewGroups() * chains
		c.input += warps * fewRows[i] * 64
		return c, c.input+ahead*warps*c.slot <= s.card.Shared-static
	}
	// An input that leaves the ring too little comes in pieces, of four chains at once, but for one
	// that the kernel makes itself. Where it would come several times, since a block has more items
	// than groups, the ring may be smaller: what the cache gives is the limit then.
	most := 72 << 10
	if ceil(items, c.blocks) > s.fewGroups() {
		most = 136 << 10
	}
	if p.Norm == 0 && c.input > most {
		const piece = 128*2 + 16 // bytes
		const slots = 4
		c.streamed, c.input = true, chains*slots*int(p.Rows)*piece
	}
	return c, c.input <= 140<<10
}
