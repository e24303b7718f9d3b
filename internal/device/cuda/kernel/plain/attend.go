package plain

import (
	"math"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// wide returns a head's width as keys and values have it.
func wide(headDim int32) int { return int(headDim+15) / 16 * 16 }

// page returns the keys and values of a page of a layer, and entry where in them element d
// of a token's key is; its value is as far behind as all keys are many.
func page(c *fake.Card, kv kernel.KV, kvHeads, headDim int32, n int32) []uint16 {
	return fake.Of[uint16](c, kv.Base+driver.Ptr(uint64(n)*kv.PageStride), int(kernel.PageBytes(int(kvHeads), int(headDim))/2))
}

func entry(headDim int32, token, head, d int) int {
	return ((head*wide(headDim)/8+d/8)*kernel.PageTokens+token)*8 + d%8
}

func rotate(c *fake.Card, p *kernel.Rotate) {
	hd, w := int(p.HeadDim), wide(p.HeadDim)
	for r, slot := range fake.Of[int32](c, p.Slots, int(p.Rows)) {
		var cos, sin []float32
		if p.Cos != 0 {
			cos, sin = read(c, p.Cos, r, int(p.TurnWidth), int(p.Pairs), 0), read(c, p.Sin, r, int(p.TurnWidth), int(p.Pairs), 0)
		}
		q := read(c, p.Q, r, int(p.QStride), int(p.Heads)*hd, 0)
		for h := range int(p.Heads) {
			turned := make([]float32, w)
			copy(turned, turn(q[h*hd:(h+1)*hd], cos, sin, p.Halves != 0))
			row(c, p.To, r*int(p.Heads)+h, w, 1, turned)
		}
		if slot < 0 {
			continue
		}
		k, v := read(c, p.K, r, int(p.KStride), int(p.KVHeads)*hd, 0), read(c, p.V, r, int(p.VStride), int(p.KVHeads)*hd, 0)
		stored := page(c, p.KV, p.KVHeads, p.HeadDim, slot/kernel.PageTokens)
		for h := range int(p.KVHeads) {
			turned := turn(k[h*hd:(h+1)*hd], cos, sin, p.Halves != 0)
			for d := range w {
				key, value := float32(0), float32(0)
				if d < hd {
					key, value = turned[d], v[h*hd+d]
				}
				at := entry(p.HeadDim, int(slot%kernel.PageTokens), h, d)
				stored[at], stored[at+len(stored)/2] = tensor.ToHalf(key), tensor.ToHalf(value)
			}
		}
	}
}

func turn(x, cos, sin []float32, halves bool) []float32 {
	for i := range cos {
		low, high := 2*i, 2*i+1
		if halves {
			low, high = i, len(cos)+i
		}
		x[low], x[high] = x[low]*cos[i]-x[high]*sin[i], x[low]*sin[i]+x[high]*cos[i]
	}
	return x
}

// attend is the attention of all rows of the groups. Splits that a row sees nothing of weigh
// nothing, and each of the others is a softmax of its own.
func attend(c *fake.Card, p *kernel.Attend) {
	if p.Fresh.K != 0 {
		rotate(c, &p.Fresh)
	}
	queries := p.Q
	if p.Fresh.K != 0 {
		queries = p.Fresh.To
	}
	hd, w := int(p.HeadDim), wide(p.HeadDim)
	for _, g := range fake.Of[kernel.Group](c, p.Groups, int(p.Count)) {
		if g.Count > p.MaxRows || g.SplitCount > p.MaxSplit {
			panic("a group is greater than its launch says")
		}
		splits := fake.Of[kernel.Split](c, p.Splits, int(g.Splits+g.SplitCount))[g.Splits:]
		for i := range int(g.Count) {
			r := int(g.First) + i
			out := make([]float32, int(p.Heads)*hd)
			for h := range int(p.Heads) {
				q := read(c, queries, r*int(p.Heads)+h, w, hd, 1)
				sum := softmax{most: math.Inf(-1), sum: make([]float64, hd)}
				for _, s := range splits {
					sum.add(split(c, p, s, q, i, int(g.Position), h))
				}
				for d := range hd {
					out[h*hd+d] = float32(sum.sum[d] / sum.weight)
				}
			}
			row(c, p.Out, r, int(p.OutStride), p.Half, out)
		}
	}
}

// softmax is a sum of values by weights, relative to the greatest score.
type softmax struct {
	most, weight float64
	sum          []float64
}

// add adds another; one that has seen nothing changes nothing.
func (s *softmax) add(o softmax) {
	if math.IsInf(o.most, -1) {
		return
	}
	most := max(s.most, o.most)
	mine, theirs := math.Exp(s.most-most), math.Exp(o.most-most)
	for d := range s.sum {
		s.sum[d] = s.sum[d]*mine + o.sum[d]*theirs
	}
	s.weight = s.weight*mine + o.weight*theirs
	s.most = most
}

// split is the attention of a row's head over the keys of a split.
func split(c *fake.Card, p *kernel.Attend, s kernel.Split, q []float32, i, first, h int) softmax {
	position := first + i
	kvHead := h / int(p.Heads/p.KVHeads)
	hd := len(q)
	part := softmax{most: math.Inf(-1), sum: make([]float64, hd)}
	var stored []uint16
	for j := range int(s.Count) {
		if int(s.Diagonal) != kernel.Everything && j > int(s.Diagonal)+i {
			break
		}
		if p.Window > 0 && s.Flags&kernel.Whole == 0 && position-(int(s.Position)+j) >= int(p.Window) {
			continue
		}
		if j%kernel.PageTokens == 0 || stored == nil {
			stored = page(c, p.KV, p.KVHeads, p.HeadDim, s.Pages[j/kernel.PageTokens])
		}
		one := softmax{weight: 1, sum: make([]float64, hd)}
		score := 0.0
		for d := range hd {
			at := entry(p.HeadDim, j%kernel.PageTokens, kvHead, d)
			score += float64(q[d]) * float64(tensor.FromHalf(stored[at]))
			one.sum[d] = float64(tensor.FromHalf(stored[at+len(stored)/2]))
		}
		score *= float64(p.Scale)
		if p.SoftCap > 0 {
			score = float64(p.SoftCap) * math.Tanh(score/float64(p.SoftCap))
		}
		one.most = score
		part.add(one)
	}
	return part
}
