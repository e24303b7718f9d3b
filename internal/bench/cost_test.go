package bench

import (
	"context"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// TestParameters compares the shapes with the published numbers of parameters,
// which hold the embedding (once where it is the head) and the norms too.
func TestParameters(t *testing.T) {
	for name, want := range map[string]struct {
		parameters int64
		tied       bool
	}{
		"smollm2-135m": {134_515_008, true},
		"llama-2-7b":   {6_738_415_616, false},
		"llama-3-8b":   {8_030_261_248, false},
	} {
		s, err := ParseShape(name)
		if err != nil {
			t.Fatal(err)
		}
		got := s.blockWeights() + s.headWeights() + int64(s.Model.Hidden)*int64(2*s.Model.Layers+1)
		if !want.tied {
			got += s.headWeights()
		}
		if got != want.parameters {
			t.Errorf("%s has %d parameters, published are %d", name, got, want.parameters)
		}
	}
}

// TestCostsByHand: one layer of 144 weights, a head of 40, 16 bytes of KV a token,
// passes of 8 rows; strides of 2 tokens at a context of 6, passages of 3.
//
// For append, the first forward encodes the context's tokens 4 and 5, which see 5
// and 6 entries, and the passage, whose tokens see 7, 8 and 9; the second forward
// encodes one token that sees 10. Thus 6 rows see 45 entries, in passes that read
// 9 and 10. The others likewise; what virtual reads again is not in the context
// before, so that its first forward encodes the context's tokens 3 and 4.
func TestCostsByHand(t *testing.T) {
	s := Shape{
		Name:   "hand",
		Model:  model.Config{Family: "llama", Layers: 1, Hidden: 4, Heads: 2, KVHeads: 1, HeadDim: 2, FF: 8, Context: 64, Vocab: 10},
		Blocks: tensor.F32, Head: tensor.F32, KVBytes: 4, BatchTokens: 8,
	}
	type sums struct{ rows, seen, logits, passes, heads, read int64 }
	for _, c := range []struct {
		p    placement.Placement
		k    int
		warm bool
		want sums
	}{
		{placement.None, 0, false, sums{2, 6 + 7, 2, 2, 2, 6 + 7}},
		{placement.Append, 1, false, sums{6, 5 + 6 + 7 + 8 + 9 + 10, 2, 2, 2, 9 + 10}},
		{withEcho(t, placement.Append, 2), 1, false, sums{8, 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12, 2, 2, 2, 11 + 12}},
		{placement.Append, 2, false, sums{10, 5 + 6 + 2*(7+8+9) + 2*10, 4, 2, 2, (6 + 3 + 3) + (6 + 4 + 4)}},
		// The third passage begins in a second pass of the first forward.
		{placement.Append, 3, false, sums{14, 5 + 6 + 3*(7+8+9) + 3*10, 6, 3, 3, (6 + 3 + 3) + (6 + 3) + (6 + 4 + 4 + 4)}},
		{placement.Prepend, 1, false, sums{10, 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10, 2, 3, 2, (3 + 5) + 9 + 10}},
		{placement.Virtual, 1, false, sums{7, 4 + 5 + (2 + 3 + 4) + (5 + 3 + 1) + (5 + 3 + 2), 2, 2, 2, (5 + 3 + 1) + (5 + 3 + 2)}},
		{withEcho(t, placement.Virtual, 3), 1, true, sums{6, 2 + 3 + (3 + 3 + 1) + (3 + 3 + 2) + (3 + 3 + 3) + (3 + 3 + 4), 2, 2, 2, (3 + 3 + 3) + (3 + 3 + 4)}},
		{placement.Virtual, 1, true, sums{4, 4 + 5 + (5 + 3 + 1) + (5 + 3 + 2), 2, 2, 2, (5 + 3 + 1) + (5 + 3 + 2)}},
	} {
		got := kind{c.p, c.k, c.warm}.cost(s, Stride{Context: 6, Sampled: 2, Passages: c.k, Evidence: 3, Warm: c.warm})
		w := c.want
		flops := 2*144*w.rows + 2*40*w.logits + 4*4*w.seen
		weights, kv := 4*(144*w.passes+40*w.heads), 16*(w.read+w.rows)
		if got.FLOPs != flops || got.WeightBytes != weights || got.KVBytes != kv {
			t.Errorf("%s, k %d, warm %v: %d FLOPs, %d + %d bytes; by hand %d, %d + %d",
				c.p.Name, c.k, c.warm, got.FLOPs, got.WeightBytes, got.KVBytes, flops, weights, kv)
		}
	}
}

// TestCostsAgainstEngine compares the computed bytes of weights with those that
// the device counts in a measured stride.
func TestCostsAgainstEngine(t *testing.T) {
	ctx := context.Background()
	w := modeltest.Tiny(1)
	s := Shape{Name: "tiny", Model: w.Config, Blocks: tensor.F32, Head: tensor.F32, KVBytes: 4, BatchTokens: 64}
	o := LoopOptions{
		Placements: []placement.Placement{placement.Virtual, placement.Append, withEcho(t, placement.Append, 16), placement.Prepend, placement.None},
		Contexts:   []int{300}, Passages: []int{1, 4}, Evidence: 50, Stride: 16, Rounds: 1,
	}
	costs, err := Costs(s, o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(w, engine.Options{Threads: 1, Compute: engine.Exact, BatchTokens: s.BatchTokens})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	text := newText(t, 20)
	tokens, err := text.Take(300)
	if err != nil {
		t.Fatal(err)
	}
	passages, err := text.Passages(9, o.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{o: o, e: e, warm: passages[:4]}
	shared, err := l.share(ctx, tokens)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	for i, k := range slices.Concat(o.kinds(0), o.kinds(1)) {
		r := newRepeater(k, o, shared, l.warm)
		defer r.seq.Close()
		if err := r.rewind(ctx); err != nil {
			t.Fatal(err)
		}
		fresh := passages[4:5]
		if k.passages > 1 {
			fresh = passages[5:]
		}
		before := e.Device().WeightBytes()
		if err := r.measure(ctx, e, fresh[:k.passages]); err != nil {
			t.Fatal(err)
		}
		if got := e.Device().WeightBytes() - before; got != costs[i].WeightBytes {
			t.Errorf("%s, k %d: the device read %d bytes of weights, computed are %d", costs[i].Name(), k.passages, got, costs[i].WeightBytes)
		}
	}
}

// TestShapeOfDefaultModel compares the first shape with the file that it stands for.
func TestShapeOfDefaultModel(t *testing.T) {
	m, err := model.Load(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var blocks int64
	for _, l := range m.Layers {
		for _, w := range l[:model.Projections] {
			blocks += int64(len(w.Data))
		}
	}
	s := Shapes[0]
	if want := stored(s.Blocks, s.blockWeights()); blocks != want {
		t.Errorf("the file's blocks have %d bytes and the shape's %d", blocks, want)
	}
	if want := stored(s.Head, s.headWeights()); int64(len(m.Tensors[model.Head].Data)) != want {
		t.Errorf("the file's head has %d bytes and the shape's %d", len(m.Tensors[model.Head].Data), want)
	}
	if c := m.Config; c.Layers != s.Model.Layers || c.Heads != s.Model.Heads || c.KVHeads != s.Model.KVHeads || c.HeadDim != s.Model.HeadDim {
		t.Errorf("the file's dimensions are %+v and the shape's %+v", c, s.Model)
	}
}
