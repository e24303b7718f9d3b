package kernel

import (
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// Many are the parameters of a launch of many rows on Hopper.
type Many struct {
	Weights [3]driver.TensorMap
	Input   driver.TensorMap
	Product
	_ [8]byte
}

// many is how a product of many rows is launched on Hopper: a block takes 64 weight rows a team,
// or with a gate 32 of both matrices, and so many of the input.
type many struct {
	divided       bool // four blocks share a tile
	rows, teams   int
	slots, shared int
	threads       int
	blocks        [3]int
	time          float64 // that it will take, ns
}

// name returns the kernel's.
func (c many) name(f Format) string {
	kind := "whole"
	if c.divided {
		kind = "divided"
	}
	return fmt.Sprintf("product_%s_%s_%d", formatNames[f], kind, c.rows)
}

const (
	teamRows = 64 // weight rows of a team
	sumRow   = 68 // how far apart rows of 64 sums are in shared memory
)

// dividedRows are how many rows of the input a block may take where four blocks share a tile.
var dividedRows = []int{16, 32, 64, 96, 152}

// wholeRows are how many it may take where one takes all of a tile.
func wholeRows(f Format) []int {
	if f <= BF16 {
		return []int{16, 32, 64, 96, 128, 160, 192}
	}
	return []int{16, 32, 64, 96, 128, 160}
}

// launchMany launches a product of many rows, of quantised weights on Hopper only.
func (s *Set) launchMany(stream driver.Stream, p *Product, early bool) error {
	if !s.hopper() {
		const rows, shared = 64, 3 * (16384 + 64*128)
		return s.launch(stream, fmt.Sprintf("product_%s_many", formatNames[p.Format]), [3]int{ceil(int(p.Rows), rows), ceil(p.groups(), 16), 1}, 256, shared, early, p)
	}
	parts, ways := s.cut(p)
	for i, part := range parts {
		if err := s.launchTiles(stream, part, ways[i], early || i > 0); err != nil {
			return err
		}
	}
	return nil
}

// cut returns a product and how it is launched, or one of one matrix, or of a gate's two, in two
// where its blocks would be some waves of the card and a few more that keep it waiting: the
// few go otherwise.
func (s *Set) cut(p *Product) (parts []*Product, ways []many) {
	whole := s.many(p)
	parts, ways = []*Product{p}, []many{whole}
	if p.Count > 1 && p.Epilogue != Gated || p.Rows > 160 {
		return parts, ways
	}
	least := whole.time
	for teams := 2; teams <= 3; teams++ {
		rows := teams * teamRows
		if p.Epilogue == Gated {
			rows /= 2
		}
		head := p.tiles(teams) / s.card.Multiprocessors * s.card.Multiprocessors * rows
		if head == 0 || head >= int(p.Segments[0].Rows) {
			continue
		}
		a, b := p.part(0, head), p.part(head, int(p.Segments[0].Rows))
		first, rest := s.many(a), s.many(b)
		if time := first.time + rest.time; time < least {
			parts, ways, least = []*Product{a, b}, []many{first, rest}, time
		}
	}
	return parts, ways
}

// part returns the product of weight rows from … to, multiples of 8, of each matrix.
func (p *Product) part(from, to int) *Product {
	q := *p
	size := 4
	if p.Epilogue >= Gated {
		size = 2
	}
	for i := range q.Segments[:q.Count] {
		w := &q.Segments[i]
		w.W += driver.Ptr(p.Format.Bytes(from, int(p.Cols)))
		if w.Scale != 0 {
			w.Scale += driver.Ptr(4 * from)
		}
		if w.Bias != 0 {
			w.Bias += driver.Ptr(4 * from)
		}
		if w.Out != 0 {
			w.Out += driver.Ptr(size * from)
		}
		w.Rows = int32(to - from)
	}
	return &q
}

// launchTiles launches a product as many says.
func (s *Set) launchTiles(stream driver.Stream, p *Product, c many, early bool) error {
	m := &Many{Product: *p}
	m.slots = int32(c.slots)
	tiles := teamRows / 8
	if p.Epilogue == Gated {
		tiles /= 2
	}
	unit, units := int(unitBytes[p.Format]), ceil(int(p.Cols), padding)
	var err error
	for i, w := range p.Segments[:p.Count] {
		m.Weights[i], err = s.driver.Map(driver.Array{
			At: w.W, Bytes: 4, Size: []int{unit / 4, units, ceil(int(w.Rows), 8)}, Strides: []int{unit, unit * units}, Piece: []int{unit / 4, 1, tiles},
		})
		if err != nil {
			return err
		}
	}
	m.Input, err = s.driver.Map(driver.Array{
		At: p.X, Bytes: 2, Size: []int{units * padding, int(p.Rows)}, Strides: []int{int(p.XStride) * 2}, Piece: []int{padding, c.rows}, Swizzled: true,
	})
	if err != nil {
		return err
	}
	return s.launch(stream, c.name(p.Format), c.blocks, c.threads, c.shared, early, m)
}

// many chooses how: what takes the least time by what was measured of a block on an H200, which
// needs some microseconds to begin and to end, and takes in so many bytes a nanosecond.
func (s *Set) many(p *Product) many {
	best := many{time: math.Inf(1)}
	consider := func(divided bool, rows, teams, threads, slots int, together, rate, ends float64) {
		slot := slotBytes(p.Format, rows, teams)
		c := many{divided: divided, rows: rows, teams: teams, slots: slots, shared: max(slots*slot, teams*rows*sumRow*4), threads: threads}
		tiles, inputs := p.tiles(teams), ceil(int(p.Rows), rows)
		steps := float64(ceil(int(p.Cols), padding))
		c.blocks = [3]int{tiles, inputs, 1}
		if divided {
			c.blocks, steps = [3]int{chains, tiles, inputs}, math.Ceil(steps/chains)
		}
		// Codes are fewer bytes than f16, and expanding them takes as long as those would.
		bytes := steps * float64(slotBytes(F16, rows, teams))
		n := float64(c.blocks[0] * c.blocks[1] * c.blocks[2])
		waves := math.Ceil(n / (together * float64(s.card.Multiprocessors)))
		c.time = waves * (bytes/rate + ends)
		// All together take in less, the more so the fewer read the same.
		switch {
		case inputs <= 2:
			c.time = max(c.time, n*bytes/6400+ends)
		case inputs <= 4:
			c.time = max(c.time, n*bytes/8500+ends)
		}
		if divided && waves > 1 {
			c.time += waves * 3000
		}
		if c.time <= best.time {
			best = c
		}
	}
	room := s.card.Shared - static
	for _, rows := range dividedRows {
		// Two blocks a multiprocessor, or one of three teams. Clusters of four do not fill a card.
		consider(true, rows, 2, 256, min(8, room/2/slotBytes(p.Format, rows, 2)), 1.87, 41, 9000)
		consider(true, rows, 3, 384, min(8, room/slotBytes(p.Format, rows, 3)), 0.91, 67, 7500)
	}
	for _, rows := range wholeRows(p.Format) {
		for teams := 2; teams <= 3; teams++ {
			if teams == 3 && rows > 96 {
				continue // more sums than registers
			}
			consider(false, rows, teams, 128*(teams+1), min(8, room/slotBytes(p.Format, rows, teams)), 1, 67, 4000)
		}
	}
	return best
}

// slotBytes returns the bytes of a slot in shared memory: rows of the input and weights of so
// many teams.
func slotBytes(f Format, rows, teams int) int {
	return rows*padding*2 + ceil(teams*teamRows/8*int(unitBytes[f]), 1024)*1024
}

// tiles returns the tiles of weights that so many teams take.
func (p *Product) tiles(teams int) (n int) {
	if p.Epilogue == Gated {
		return ceil(int(p.Segments[0].Rows), teams*teamRows/2)
	}
	for _, w := range p.Segments[:p.Count] {
		n += ceil(int(w.Rows), teams*teamRows)
	}
	return n
}
