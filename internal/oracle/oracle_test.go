package oracle_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
)

func random(n int, seed uint64) []int32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = rng.Int32N(300)
	}
	return tokens
}

// TestMixture writes the mixture of two branches out in probabilities.
func TestMixture(t *testing.T) {
	o := oracle.New(modeltest.Tiny(1))
	text, target := random(20, 1), random(3, 2)
	evidence := []lm.Evidence{{Tokens: random(9, 3), Weight: .7}, {Tokens: random(5, 4), Weight: .3}}
	got, err := o.Recompute(t.Context(), placement.Append, text, evidence, target)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range got {
		want := make([]float64, len(row))
		for _, e := range evidence {
			rows, err := o.Logits(t.Context(), placement.Append, text, [][]int32{e.Tokens}, target)
			if err != nil {
				t.Fatal(err)
			}
			var sum float64
			for _, l := range rows[i] {
				sum += math.Exp(float64(l))
			}
			for j, l := range rows[i] {
				want[j] += e.Weight * math.Exp(float64(l)) / sum
			}
		}
		for j := range row {
			if math.Abs(float64(row[j])-math.Log(want[j])) > 1e-5 { // rounding to f32
				t.Fatalf("token %d, logit %d: %v, want %v", i, j, row[j], math.Log(want[j]))
			}
		}
	}
}

func TestErrors(t *testing.T) {
	o := oracle.New(modeltest.Tiny(1))
	for _, c := range []struct {
		text []int32
		want string
	}{
		{nil, "the text is empty"},
		{[]int32{1, 300}, "token 300 is not in the vocabulary of 300"},
		{[]int32{-1, 2}, "token -1 is not"},
	} {
		if _, err := o.Logits(t.Context(), placement.None, c.text, nil, []int32{1}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Logits(ctx, placement.None, []int32{1}, nil, []int32{1}); err == nil {
		t.Error("a cancelled computation has a result")
	}
}
