package bench

import (
	"github.com/flashback-lm/flashback/internal/placement"
)

// Cost is what one stride takes, computed from the shape of a model:
//
//   - FLOPs = 2 · block weights · encoded tokens + 2 · head weights · sampled
//     tokens (of each branch) + 4 · layers · heads · headDim · Σ seen, where an
//     encoded token sees the entries of its view and its span up to its own.
//     Two a multiply-add; norms, rotations and softmax are left out, they are
//     below a percent.
//   - WeightBytes = block bytes · passes + head bytes · passes that a row is sampled
//     from. The rows of a forward share a reading of the weights, up to BatchTokens of
//     them; there is one forward for all that a stride prefills, and one for each
//     decoded token.
//   - KVBytes = token bytes · (entries read in each pass, each once, + entries
//     written). A pass that reads an entry for several rows or branches reads it
//     once.
//
// Activations and the rows of the embedding are left out. The bytes are the least
// that must come from memory where caches hold nothing from pass to pass.
type Cost struct {
	Shape     string `json:"shape"`
	Computed  bool   `json:"computed"` // always true: not measured
	Placement string `json:"placement"`
	Evidence  string `json:"evidence"` // as in Row
	Echo      int    `json:"echo"`
	Context   int    `json:"context"`
	Passages  int    `json:"passages"`
	Stride    int    `json:"stride"`

	FLOPs       int64 `json:"flops"`
	WeightBytes int64 `json:"weight_bytes"`
	KVBytes     int64 `json:"kv_bytes"` // read and written
	Prefilled   int   `json:"tokens_prefilled"`
	Decoded     int   `json:"tokens_decoded"`
	Reused      int   `json:"tokens_reused"`
	// How many times less than prepending; 0 where it is not among the rows.
	FLOPsRatio float64 `json:"flops_ratio_to_prepend"`
	BytesRatio float64 `json:"bytes_ratio_to_prepend"`
}

// Bytes returns all bytes that the stride moves.
func (c Cost) Bytes() int64 { return c.WeightBytes + c.KVBytes }

// Name returns what tables call the row.
func (c Cost) Name() string {
	return Row{Placement: c.Placement, Evidence: c.Evidence, Echo: c.Echo}.Name()
}

// Costs computes the rows that Loop would measure with the options.
func Costs(s Shape, o LoopOptions) ([]Cost, error) {
	o, err := o.Fit(s.Model.Context)
	if err != nil {
		return nil, err
	}
	var costs []Cost
	for _, length := range o.Contexts {
		for nth := range o.Passages {
			from, prepend := len(costs), Cost{}
			for _, k := range o.kinds(nth) {
				c := k.cost(s, Stride{Context: length, Sampled: o.Stride, Passages: k.passages, Evidence: o.Evidence, Warm: k.warm})
				if k.placement.Evidence == placement.AtZero {
					prepend = c
				}
				costs = append(costs, c)
			}
			for i := range costs[from:] {
				c := &costs[from+i]
				c.FLOPsRatio = float64(prepend.FLOPs) / float64(c.FLOPs)
				c.BytesRatio = float64(prepend.Bytes()) / float64(c.Bytes())
			}
		}
	}
	return costs, nil
}

// cost adds up the forwards of one stride.
func (k kind) cost(s Shape, st Stride) Cost {
	tokens := st.Tokens(k.placement)
	c := Cost{
		Shape: s.Name, Computed: true, Placement: k.placement.Name, Evidence: k.evidence(), Echo: k.placement.Echo,
		Context: st.Context, Passages: st.Passages, Stride: st.Sampled,
		Prefilled: tokens.Prefilled, Decoded: tokens.Decoded, Reused: tokens.Reused,
	}
	count := counter{shape: s, entries: map[int]int{contextSpan: tokens.Reused}}
	first, tails := st.runs(k.placement)
	count.forward(first)
	for i := range tails {
		tails[i].tokens, tails[i].predicts = 1, true
	}
	for range st.Sampled - 1 {
		count.forward(tails)
	}
	m := s.Model
	c.FLOPs = 2*s.blockWeights()*count.rows + 2*s.headWeights()*count.logits +
		4*int64(m.Layers)*int64(m.Heads*m.HeadDim)*count.seen
	c.WeightBytes = stored(s.Blocks, s.blockWeights())*count.passes + stored(s.Head, s.headWeights())*count.heads
	c.KVBytes = s.tokenBytes() * (count.read + count.rows)
	return c
}

// The spans of a stride by number: the context, then the passages, then a tail a
// branch.
const contextSpan = 0

// run is tokens that are encoded at the end of a span and see parts of others.
type run struct {
	tokens   int
	into     int // span
	view     []part
	predicts bool // a token is sampled from its last row
}

// part is the first n entries of a span.
type part struct{ span, n int }

// runs returns what the first forward of a stride encodes, and the tails that
// the other forwards extend by a token each.
func (st Stride) runs(p placement.Placement) (first, tails []run) {
	l := st.layout(p)
	if len(l.Passages) == 0 {
		last := []run{{tokens: 1, into: contextSpan, predicts: true}}
		return last, last
	}
	if p.Evidence != placement.AtZero {
		first = append(first, run{tokens: min(l.Context, st.Sampled), into: contextSpan})
	}
	for j, b := range l.Branches {
		tail := run{tokens: st.Context - b.Tail, into: 1 + st.Passages + j, view: []part{{contextSpan, b.Sees}}}
		for i := b.From; i < b.To; i++ {
			tail.view = append(tail.view, part{1 + i, st.Evidence})
			if !st.keeps(p) {
				first = append(first, run{tokens: st.Evidence, into: 1 + i, view: []part{{contextSpan, l.Passages[i].Sees}}})
			}
		}
		if tails = append(tails, tail); tail.tokens > 0 {
			first = append(first, tail)
		}
		first[len(first)-1].predicts = true
	}
	return first, tails
}

// counter adds up forwards.
type counter struct {
	shape   Shape
	entries map[int]int // of each span

	rows, seen, logits  int64
	passes, heads, read int64
}

// forward encodes the runs, in passes of up to BatchTokens rows.
func (c *counter) forward(runs []run) {
	reach := map[int]int{} // entries of each span that the pass sees
	rows, sampled := 0, false
	end := func() {
		for _, n := range reach {
			c.read += int64(n)
		}
		clear(reach)
		c.passes++
		if sampled {
			c.heads++
		}
		rows, sampled = 0, false
	}
	for _, r := range runs {
		for i := range r.tokens {
			c.entries[r.into]++
			for _, p := range append([]part{{r.into, c.entries[r.into]}}, r.view...) {
				c.seen += int64(p.n)
				reach[p.span] = max(reach[p.span], p.n)
			}
			c.rows++
			if r.predicts && i == r.tokens-1 {
				c.logits++
				sampled = true
			}
			if rows++; rows == c.shape.BatchTokens {
				end()
			}
		}
	}
	if rows > 0 {
		end()
	}
}
