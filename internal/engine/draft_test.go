package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

func TestDraftFindsTheLongestLatestMatch(t *testing.T) {
	evidence := []lm.Evidence{{Tokens: []int32{1, 2, 3, 4, 5, 2, 3, 6, 7}}, {Tokens: []int32{9, 8, 2, 3, 10, 11}}}
	for _, tt := range []struct {
		text []int32
		n    int
		want []int32
	}{
		{[]int32{2, 3}, 2, []int32{6, 7}},                     // the last place in the first passage
		{[]int32{1, 2, 3}, 2, []int32{4, 5}},                  // a longer run beats a later place
		{[]int32{8, 2, 3}, 5, []int32{10, 11}},                // in the second passage
		{[]int32{20, 21, 22, 20, 21}, 3, []int32{22, 20, 21}}, // in the text itself
		{[]int32{6, 7}, 3, nil},                               // nothing follows
		{[]int32{3}, 3, nil},                                  // too short
		{[]int32{2, 3}, 0, nil},
	} {
		if got := draft(evidence, tt.text, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("draft(%v, %d) = %v, want %v", tt.text, tt.n, got, tt.want)
		}
	}
}

// TestLookingAheadChangesNoToken compares texts sampled with and without guesses,
// greedy and by chance, and wants the very same logits behind every token.
func TestLookingAheadChangesNoToken(t *testing.T) {
	e := newTiny(t, Options{})
	accepted := 0
	for name, p := range layouts(t) {
		for _, options := range []sample.Options{{}, {Temperature: 0.3, Seed: 5}} {
			run := func(ahead int) (tokens []int32, logits [][]float32, counts lm.Counts) {
				sampler, err := sample.New(options)
				if err != nil {
					t.Fatal(err)
				}
				s := e.NewSequence()
				defer s.Close()
				s.LookAhead(ahead)
				r := rand.New(rand.NewPCG(2, 2))
				if err := s.Append(randomTokens(r, 30)...); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					ev := []lm.Evidence{{Tokens: randomTokens(r, 40), Weight: 0.7}, {Tokens: randomTokens(r, 30), Weight: 0.3}}
					// What was written so far stands in the evidence, so that guesses come true.
					ev[0].Tokens = append(ev[0].Tokens, s.Tokens()...)
					if p.Evidence == placement.Nowhere {
						ev = nil
					}
					_, err := s.Continue(context.Background(), p, ev, 40, pick(func(l []float32) int32 {
						logits = append(logits, slices.Clone(l))
						return sampler.Sample(l, nil)
					}), nil)
					if err != nil {
						t.Fatal(err)
					}
				}
				return slices.Clone(s.Tokens()), logits, s.Counts()
			}
			want, wantLogits, _ := run(0)
			got, gotLogits, counts := run(6)
			accepted += counts.Accepted
			if !slices.Equal(got, want) {
				t.Fatalf("%s %+v: tokens differ:\n%v\n%v", name, options, got, want)
			}
			for i := range wantLogits {
				if !slices.Equal(gotLogits[i], wantLogits[i]) {
					t.Fatalf("%s %+v: logits of token %d differ", name, options, i)
				}
			}
			if counts.Decoded+counts.Accepted < 3*39 {
				t.Fatalf("%s: %+v does not add up", name, counts)
			}
		}
	}
	if accepted == 0 {
		t.Fatal("no guess ever came true, so nothing was tested")
	}
	t.Logf("%d guessed tokens were accepted", accepted)
}
