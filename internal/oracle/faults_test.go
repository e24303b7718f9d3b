package oracle

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// TestFaultsShow lays out what an engine with a fault would compute and checks
// that its logits are well outside the tolerance within which an engine must be
// to pass: the comparison can fail.
func TestFaultsShow(t *testing.T) {
	const (
		p, n, s   = 40, 24, 8
		tolerance = 1e-3
	)
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(n int) []int32 {
		tokens := make([]int32, n)
		for i := range tokens {
			tokens[i] = rng.Int32N(300)
		}
		return tokens
	}
	text, target := random(p), random(s)
	evidence, old := random(n), random(n) // of this stride and the one before
	sampled := target[:s-1]
	right := func(p placement.Placement) *flat {
		f, err := flatten(p, text, [][]int32{evidence}, target)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	empty := func() *flat { return &flat{size: 2*p + 2*n + s} }
	echo4, err := placement.Append.WithEcho(4)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		p     placement.Placement
		fault func() *flat
	}{
		{"evidence dropped one stride late", placement.Append, func() *flat {
			f := empty()
			first := f.add(text[:p-s], 0)
			late := f.add(old, p-s, first)
			rest := f.add(text[p-s:], p-s, first)
			passage := f.add(evidence, p, first, rest, late)
			f.add(sampled, p+n, first, rest, late, passage)
			return f
		}},
		{"the sampled tokens not encoded again", placement.Append, func() *flat {
			f := empty()
			first := f.add(text[:p-s], 0)
			gone := f.add(old, p-s, first)
			seen := f.add(text[p-s:], p-s+n, first, gone) // they saw the evidence
			passage := f.add(evidence, p, first, seen)
			f.add(sampled, p+n, first, seen, passage)
			return f
		}},
		{"a position off by one", echo4, func() *flat {
			f := right(echo4)
			for i := p + n; i < len(f.positions); i++ {
				f.positions[i]++
			}
			return f
		}},
		{"the echoed copy visible", placement.Virtual, func() *flat {
			f := right(placement.Virtual)
			for i := p + n; i < len(f.tokens); i++ {
				f.sees[i][p-1] = true
			}
			return f
		}},
		{"a span reused under another token 0", placement.Virtual, func() *flat {
			f := empty()
			other := f.add([]int32{(text[0] + 1) % 300}, 0)
			passage := f.add(evidence, -n, other)
			context := f.add(text, 0)
			f.add(append(text[p-1:p:p], sampled...), p-1, context.first(p-1), passage)
			return f
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := modeltest.Tiny(1)
			want, err := forward(t.Context(), w, nil, right(c.p), s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := forward(t.Context(), w, nil, c.fault(), s)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i, row := range got {
				for j, l := range row {
					worst = max(worst, math.Abs(float64(l-want[i][j])))
				}
			}
			t.Logf("max abs difference %.2g", worst)
			if worst < 10*tolerance {
				t.Errorf("the fault changes logits by %.2g at most", worst)
			}
		})
	}
}
