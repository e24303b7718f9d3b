package sample

import (
	"math"
	"testing"
)

// The likeliest tokens are the greatest logits, the smaller id among equals, with the
// logarithms of their probabilities.
func TestWeigh(t *testing.T) {
	logits := []float32{1, 3, 3, -2, float32(math.Log(2))}
	sum := math.Exp(1) + 2*math.Exp(3) + math.Exp(-2) + 2
	token, best := Weigh(logits, 3, 3)
	if want := -2 - math.Log(sum); token.ID != 3 || math.Abs(token.Logprob-want) > 1e-9 {
		t.Errorf("token 3: %+v, want %v", token, want)
	}
	for i, want := range []int32{1, 2, 0} {
		if p := float64(logits[want]) - math.Log(sum); best[i].ID != want || math.Abs(best[i].Logprob-p) > 1e-9 {
			t.Errorf("rank %d: %+v, want token %d with %v", i, best[i], want, p)
		}
	}
	if _, best := Weigh(logits, 0, 0); len(best) != 0 {
		t.Errorf("none was asked for: %v", best)
	}
	if _, best := Weigh(logits, 0, 20); len(best) != len(logits) {
		t.Errorf("%d of %d tokens", len(best), len(logits))
	}
}

// Presence and frequency are those of what was sampled, not of the prompt; biases add to
// logits, of tokens that there are.
func TestPenaltiesAndBias(t *testing.T) {
	logits := []float32{1, 0.9, 0.2, -3}
	for _, c := range []struct {
		o    Options
		want []int32
	}{
		{Options{}, []int32{0, 0, 0, 0}},
		{Options{PresencePenalty: 0.5}, []int32{0, 1, 0, 0}},
		{Options{FrequencyPenalty: 0.5}, []int32{0, 1, 0, 1}},
		{Options{PresencePenalty: -1, FrequencyPenalty: -1}, []int32{0, 0, 0, 0}},
		{Options{LogitBias: map[int32]float64{3: 5, 0: -100, 9: 100}}, []int32{3, 3, 3, 3}},
	} {
		s, err := New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		text := []int32{0, 0, 0}
		for i, want := range c.want {
			got := s.Sample(logits, text)
			if got != want {
				t.Errorf("%+v: token %d is %d, want %d", c.o, i, got, want)
			}
			text = append(text, got)
		}
	}
	for _, o := range []Options{{PresencePenalty: math.NaN()}, {FrequencyPenalty: math.Inf(1)}, {LogitBias: map[int32]float64{-1: 1}}, {LogitBias: map[int32]float64{1: math.NaN()}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
