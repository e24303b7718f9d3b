//go:build cuda

package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// entry is a key and a value of a span, as they are stored.
type entry struct{ k, v []float32 } // [KV heads, head dim]

// span is entries from a position on, in pages.
type span struct {
	first   int // position
	entries []entry
	pages   []int32
	whole   bool
}

// scene is attention over made-up spans.
type scene struct {
	c                   *card
	rng                 *rand.Rand
	heads, kvHeads, dim int
	window              int
	softCap             float64
	pages               []byte // of one layer
	groups              []Group
	splits              []Split
	views               [][]span // of each group, its own span last
	q                   [][]float32
	rows                int
	counters            int
	onCard              [2]driver.Ptr // pages and queries, once all groups are there
}

func (s *scene) width() int { return ceil(s.dim, 16) * 16 }

func (s *scene) pageBytes() int { return int(PageBytes(s.kvHeads, s.dim)) }

// span makes n entries.
func (s *scene) span(first, n int) span {
	sp := span{first: first}
	for i := range n {
		if i%PageTokens == 0 {
			sp.pages = append(sp.pages, int32(len(s.pages)/s.pageBytes()))
			page := make([]byte, s.pageBytes())
			for j := range page {
				page[j] = 0xff // what is not written is no number
			}
			s.pages = append(s.pages, page...)
		}
		e := entry{gaussian(s.rng, s.kvHeads*s.dim, 1), gaussian(s.rng, s.kvHeads*s.dim, 1)}
		page := s.pages[int(sp.pages[i/PageTokens])*s.pageBytes():]
		for v, x := range [][]float32{e.k, e.v} {
			for h := range s.kvHeads {
				for d := range s.width() {
					bits := uint16(0)
					if d < s.dim {
						bits = halves(x[h*s.dim+d:][:1], 1, 1)[0]
						x[h*s.dim+d] = fromHalf(bits)
					}
					at := 2 * (((v*s.kvHeads+h)*s.width()/8+d/8)*PageTokens*8 + i%PageTokens*8 + d%8)
					page[at], page[at+1] = byte(bits), byte(bits>>8)
				}
			}
		}
		sp.entries = append(sp.entries, e)
	}
	return sp
}

// group adds rows that see a view and then their own span up to themselves, the last
// `rows` entries of it.
func (s *scene) group(rows int, view ...span) {
	own := view[len(view)-1]
	g := Group{First: int32(s.rows), Count: int32(rows), Splits: int32(len(s.splits)), Position: int32(own.first + len(own.entries) - rows)}
	for i, sp := range view {
		for at := 0; at < len(sp.entries); at += SplitKeys {
			split := Split{Count: int32(min(SplitKeys, len(sp.entries)-at)), Diagonal: Everything, Position: int32(sp.first + at)}
			if i == len(view)-1 {
				split.Diagonal = int32(len(sp.entries) - rows - at)
			}
			if sp.whole {
				split.Flags = Whole
			}
			if at%(2*SplitKeys) == 0 && (i < len(view)-1 || at+SplitKeys <= len(sp.entries)-rows) {
				split.Flags |= Settled
			}
			copy(split.Pages[:], sp.pages[at/PageTokens:])
			s.splits = append(s.splits, split)
			g.SplitCount++
		}
	}
	s.groups, s.views, s.rows = append(s.groups, g), append(s.views, view), s.rows+rows
	for range rows {
		q := gaussian(s.rng, s.heads*s.dim, 1)
		for i := range q {
			q[i] = fromHalf(halves(q[i:][:1], 1, 1)[0])
		}
		s.q = append(s.q, q)
	}
}

// want is the attention of a row in float64.
func (s *scene) want(group, row int) []float64 {
	g, out := s.groups[group], make([]float64, s.heads*s.dim)
	q := s.q[int(g.First)+row]
	for h := range s.heads {
		kv := h / (s.heads / s.kvHeads)
		var scores []float64
		var values [][]float32
		for i, sp := range s.views[group] {
			for j, e := range sp.entries {
				if i == len(s.views[group])-1 && j > len(sp.entries)-int(g.Count)+row {
					continue
				}
				if s.window > 0 && !sp.whole && int(g.Position)+row-(sp.first+j) >= s.window {
					continue
				}
				x := 0.0
				for d := range s.dim {
					x += float64(q[h*s.dim+d]) * float64(e.k[kv*s.dim+d])
				}
				x /= math.Sqrt(float64(s.dim))
				if s.softCap > 0 {
					x = s.softCap * math.Tanh(x/s.softCap)
				}
				scores, values = append(scores, x), append(values, e.v[kv*s.dim:][:s.dim])
			}
		}
		most, sum := slices.Max(scores), 0.0
		for j, x := range scores {
			w := math.Exp(x - most)
			sum += w
			for d := range s.dim {
				out[h*s.dim+d] += w * float64(values[j][d])
			}
		}
		for d := range s.dim {
			out[h*s.dim+d] /= sum
		}
	}
	return out
}

// run attends for some of the groups, by either kernel, and returns all rows' results.
func (s *scene) run(few bool, groups ...Group) []uint16 {
	c := s.c
	if s.onCard == [2]driver.Ptr{} {
		q := make([]uint16, s.rows*s.heads*s.width())
		for r := range s.q {
			for h := range s.heads {
				copy(q[(r*s.heads+h)*s.width():], halves(s.q[r][h*s.dim:][:s.dim], 1, s.dim)[:s.dim])
			}
		}
		s.onCard = [2]driver.Ptr{put(c, s.pages), put(c, q)}
	}
	most, splits := 0, 0
	for _, g := range groups {
		most, splits = max(most, int(g.Count)), max(splits, int(g.SplitCount))
	}
	splits += 2 // a launch for more splits than there are
	stride := Pad(s.heads * s.dim)
	p := &Attend{
		KV: KV{s.onCard[0], uint64(s.pageBytes())}, Q: s.onCard[1], Out: c.alloc(int64(s.rows*stride*2), 0xff),
		Groups: put(c, groups), Splits: put(c, s.splits), Count: int32(len(groups)), MaxRows: int32(most), MaxSplit: int32(splits),
		Heads: int32(s.heads), KVHeads: int32(s.kvHeads), HeadDim: int32(s.dim), OutStride: int32(stride),
		Window: int32(s.window), Scale: float32(1 / math.Sqrt(float64(s.dim))), SoftCap: float32(s.softCap), Half: 1,
	}
	launch, room := c.set.AttendMany, c.set.ManyRoom
	if few {
		launch, room = c.set.AttendFew, c.set.FewRoom
	}
	s.room(p, room)
	defer s.counted(p)
	c.check(launch(c.stream, p, false))
	return get[uint16](c, p.Out, s.rows*stride)
}

// room takes the memory that a kernel needs besides; what is not written there is no number.
func (s *scene) room(p *Attend, of func(*Attend) (int64, int64)) {
	parts, counters := of(p)
	p.Parts, p.Counters, s.counters = s.c.alloc(max(parts, 16), 0xff), s.c.alloc(max(counters, 16), 0), int(counters/4)
}

// counted fails unless counters are zeros again.
func (s *scene) counted(p *Attend) {
	if n := get[uint32](s.c, p.Counters, s.counters); n != nil && slices.Max(append(n, 0)) != 0 {
		s.c.t.Error("counters are not zeros afterwards")
	}
}

func floats(h []uint16) []float32 {
	f := make([]float32, len(h))
	for i := range h {
		f[i] = fromHalf(h[i])
	}
	return f
}

// TestAttention compares attention with float64, the kernels with each other, and groups
// among others with groups alone.
func TestAttention(t *testing.T) {
	c := newCard(t)
	for i, shape := range []struct {
		heads, kvHeads, dim, window int
		softCap                     float64
	}{
		{4, 4, 128, 0, 0}, {9, 3, 64, 0, 0}, {4, 1, 256, 200, 0}, {4, 2, 16, 0, 0}, {8, 2, 80, 0, 30}, {6, 6, 96, 64, 0}, {8, 1, 40, 0, 0},
		{4, 2, 64, 150, 30}, {6, 2, 128, 200, 0}, {3, 3, 120, 0, 0},
	} {
		name := fmt.Sprintf("%d heads, %d KV heads of %d, window %d", shape.heads, shape.kvHeads, shape.dim, shape.window)
		if leftOut(i, 0, 1, 2) {
			continue
		}
		s := &scene{c: c, rng: rand.New(rand.NewPCG(7, uint64(i))), heads: shape.heads, kvHeads: shape.kvHeads, dim: shape.dim, window: shape.window, softCap: shape.softCap}
		context := s.span(0, 333)
		evidence := s.span(-50, 50)
		evidence.whole = i%2 == 0
		// A token behind a long context, one behind a view of three spans, a chunk, one row of 16 and a first token.
		s.group(1, s.span(0, 700))
		s.group(1, context, evidence, s.span(333, 5))
		s.group(146, context, s.span(333, 200))
		s.group(16/(shape.heads/shape.kvHeads), context, s.span(333, 129))
		s.group(1, s.span(0, 1))
		s.group(33, s.span(0, 33))
		if i == 0 {
			s.group(2, s.span(0, 4300))
			s.group(17, s.span(0, 40), s.span(40, 2000))
		}
		all := s.run(false, s.groups...)
		stride := Pad(s.heads * s.dim)
		for g, group := range s.groups {
			for _, r := range []int{0, int(group.Count) / 2, int(group.Count) - 1} {
				near(t, fmt.Sprintf("%s: group %d, row %d", name, g, r), floats(all[(int(group.First)+r)*stride:][:s.heads*s.dim]), s.want(g, r), 2e-3)
			}
			for _, few := range []bool{true, false} {
				// The fewer multiprocessors, the more does a block do.
				for _, n := range []int{c.d.Info().Multiprocessors, 2} {
					c.set.card.Multiprocessors = n
					alone := s.run(few, group)
					c.set.card.Multiprocessors = c.d.Info().Multiprocessors
					for r := range int(group.Count) {
						at := (int(group.First) + r) * stride
						same(t, fmt.Sprintf("%s: group %d, row %d alone, few %v, %d multiprocessors", name, g, r, few, n), alone[at:][:s.heads*s.dim], all[at:][:s.heads*s.dim])
					}
				}
			}
			// The last row alone, as a later forward would have it.
			last := group
			last.First, last.Count, last.Position = group.First+group.Count-1, 1, group.Position+group.Count-1
			splits := slices.Clone(s.splits)
			for i := range last.SplitCount {
				if d := &s.splits[last.Splits+i].Diagonal; *d != Everything {
					*d += group.Count - 1
				}
			}
			for _, few := range []bool{true, false} {
				at := int(last.First) * stride
				same(t, fmt.Sprintf("%s: group %d, its last row alone, few %v", name, g, few), s.run(few, last)[at:][:s.heads*s.dim], all[at:][:s.heads*s.dim])
			}
			s.splits = splits
		}
		for _, few := range []bool{true, false} {
			c.set.card.Multiprocessors = 3
			together := s.run(few, s.groups...)
			c.set.card.Multiprocessors = c.d.Info().Multiprocessors
			for r := range s.rows {
				same(t, fmt.Sprintf("%s: row %d of all, few %v", name, r, few), together[r*stride:][:s.heads*s.dim], all[r*stride:][:s.heads*s.dim])
			}
		}
	}
}

// TestRotate compares rotated queries and stored keys and values with the host's.
func TestRotate(t *testing.T) {
	c := newCard(t)
	rng := rand.New(rand.NewPCG(8, 8))
	for _, shape := range []struct {
		heads, kvHeads, dim, pairs int
		halves                     int32
	}{{4, 2, 64, 32, 1}, {3, 3, 80, 16, 1}, {2, 1, 128, 64, 0}, {4, 4, 40, 0, 0}} {
		const rows, pages = 5, 3
		width := ceil(shape.dim, 16) * 16
		q, k, v := gaussian(rng, rows*shape.heads*shape.dim, 1), gaussian(rng, rows*shape.kvHeads*shape.dim, 1), gaussian(rng, rows*shape.kvHeads*shape.dim, 1)
		cos, sin := make([]float32, rows*max(shape.pairs, 1)), make([]float32, rows*max(shape.pairs, 1))
		for i := range cos {
			a := rng.Float64() * 6
			cos[i], sin[i] = float32(math.Cos(a)), float32(math.Sin(a))
		}
		slots := []int32{0, 33, 95, -1, 40}
		p := &Rotate{
			KV: KV{c.alloc(pages*PageBytes(shape.kvHeads, shape.dim), 0xff), uint64(PageBytes(shape.kvHeads, shape.dim))},
			Q:  put(c, q), K: put(c, k), V: put(c, v), To: c.alloc(int64(rows*shape.heads*width*2), 0xff), Slots: put(c, slots), Rows: rows,
			QStride: int32(shape.heads * shape.dim), KStride: int32(shape.kvHeads * shape.dim), VStride: int32(shape.kvHeads * shape.dim),
			Heads: int32(shape.heads), KVHeads: int32(shape.kvHeads), HeadDim: int32(shape.dim), Pairs: int32(shape.pairs), TurnWidth: int32(shape.pairs), Halves: shape.halves,
		}
		if shape.pairs > 0 {
			p.Cos, p.Sin = put(c, cos), put(c, sin)
		}
		c.check(c.set.Rotate(c.stream, p, false))
		turned := floats(get[uint16](c, p.To, rows*shape.heads*width))
		stored := floats(get[uint16](c, driver.Ptr(p.KV.Base), int(pages*PageBytes(shape.kvHeads, shape.dim)/2)))
		turn := func(x []float32, row int) []float64 {
			y := make([]float64, width)
			for i := range x {
				y[i] = float64(x[i])
			}
			for j := range shape.pairs {
				a, b := 2*j, 2*j+1
				if shape.halves == 1 {
					a, b = j, shape.pairs+j
				}
				cs, sn := float64(cos[row*shape.pairs+j]), float64(sin[row*shape.pairs+j])
				y[a], y[b] = float64(x[a])*cs-float64(x[b])*sn, float64(x[b])*cs+float64(x[a])*sn
			}
			return y
		}
		for r := range rows {
			for h := range shape.heads {
				near(t, fmt.Sprintf("row %d, query %d of %v", r, h, shape), turned[(r*shape.heads+h)*width:][:width], turn(q[(r*shape.heads+h)*shape.dim:][:shape.dim], r), 1e-3)
			}
			for h := range shape.kvHeads {
				if slots[r] < 0 {
					continue
				}
				page := stored[int(slots[r])/PageTokens*int(PageBytes(shape.kvHeads, shape.dim)/2):]
				var gotK, gotV []float32
				for d := range width {
					gotK = append(gotK, page[(h*width/8+d/8)*PageTokens*8+int(slots[r])%PageTokens*8+d%8])
					gotV = append(gotV, page[((shape.kvHeads+h)*width/8+d/8)*PageTokens*8+int(slots[r])%PageTokens*8+d%8])
				}
				wantV := make([]float64, width)
				for d := range shape.dim {
					wantV[d] = float64(v[(r*shape.kvHeads+h)*shape.dim+d])
				}
				near(t, fmt.Sprintf("row %d, key %d of %v", r, h, shape), gotK, turn(k[(r*shape.kvHeads+h)*shape.dim:][:shape.dim], r), 1e-3)
				near(t, fmt.Sprintf("row %d, value %d of %v", r, h, shape), gotV, wantV, 1e-3)
			}
		}
	}
}

// TestFresh compares rows that attention turns and stores itself with Rotate before it.
func TestFresh(t *testing.T) {
	c := newCard(t)
	for i, shape := range [][4]int{{4, 4, 128, 64}, {9, 3, 64, 32}, {4, 1, 256, 64}, {4, 2, 40, 20}} {
		s := &scene{c: c, rng: rand.New(rand.NewPCG(12, uint64(i))), heads: shape[0], kvHeads: shape[1], dim: shape[2]}
		s.group(1, s.span(0, 700))
		s.group(5, s.span(0, 100), s.span(100, 130)) // behind a split's end
		s.group(20, s.span(0, 100), s.span(100, 130))
		s.group(1, s.span(0, 1))
		kvWidth, stride := s.kvHeads*s.dim, Pad(s.heads*s.dim)
		slots := make([]int32, s.rows)
		for g, group := range s.groups {
			own := s.views[g][len(s.views[g])-1]
			for r := range int(group.Count) {
				entry := len(own.entries) - int(group.Count) + r
				slots[int(group.First)+r] = own.pages[entry/PageTokens]*PageTokens + int32(entry%PageTokens)
			}
		}
		turn := Rotate{
			Q: put(c, gaussian(s.rng, s.rows*s.heads*s.dim, 1)), K: put(c, gaussian(s.rng, s.rows*kvWidth, 1)), V: put(c, gaussian(s.rng, s.rows*kvWidth, 1)),
			Cos: put(c, gaussian(s.rng, s.rows*shape[3], 1)), Sin: put(c, gaussian(s.rng, s.rows*shape[3], 1)), Slots: put(c, slots), Rows: int32(s.rows),
			QStride: int32(s.heads * s.dim), KStride: int32(kvWidth), VStride: int32(kvWidth),
			Heads: int32(s.heads), KVHeads: int32(s.kvHeads), HeadDim: int32(s.dim), Pairs: int32(shape[3]), TurnWidth: int32(shape[3]), Halves: 1,
		}
		most, splits := 20, 8
		var outs, stored [2][]uint16
		for fresh := range 2 {
			kv := KV{put(c, s.pages), uint64(s.pageBytes())}
			turn.KV, turn.To = kv, c.alloc(int64(s.rows*s.heads*s.width()*2), 0xff)
			p := &Attend{
				KV: kv, Q: turn.To, Out: c.alloc(int64(s.rows*stride*2), 0), Groups: put(c, s.groups), Splits: put(c, s.splits),
				Count: int32(len(s.groups)), MaxRows: int32(most), MaxSplit: int32(splits), Heads: int32(s.heads), KVHeads: int32(s.kvHeads), HeadDim: int32(s.dim),
				OutStride: int32(stride), Scale: 0.1, Half: 1,
			}
			s.room(p, c.set.FewRoom)
			if fresh == 1 {
				p.Fresh = turn
			} else {
				c.check(c.set.Rotate(c.stream, &turn, false))
			}
			c.check(c.set.AttendFew(c.stream, p, true))
			s.counted(p)
			outs[fresh], stored[fresh] = get[uint16](c, p.Out, s.rows*stride), get[uint16](c, kv.Base, len(s.pages)/2)
		}
		same(t, fmt.Sprintf("%v: attention", shape), outs[1], outs[0])
		same(t, fmt.Sprintf("%v: pages", shape), stored[1], stored[0])
	}
}
