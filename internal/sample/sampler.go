// Package sample turns logits into tokens, and tokens' text into a stream that
// ends at a stop string.
package sample

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Options says how the next token is chosen. The zero value is greedy: the
// token with the greatest logit, the smallest id among equals.
//
// The filters stand in llama.cpp's order: penalties and biases, top-k, top-p,
// min-p, and the temperature last, so the cuts see probabilities at
// temperature 1.
type Options struct {
	Temperature   float64 `json:"temperature"`              // divides the logits of what the filters left; 0 is greedy
	TopK          int     `json:"top_k,omitempty"`          // keep the k best; 0 keeps all
	TopP          float64 `json:"top_p,omitempty"`          // keep the best whose probabilities first sum to p; 0 and 1 keep all
	MinP          float64 `json:"min_p,omitempty"`          // keep those at least p times as probable as the best; 0 keeps all
	RepeatPenalty float64 `json:"repeat_penalty,omitempty"` // divides positive and multiplies negative logits of recent tokens; 0 and 1 are none
	RepeatLast    int     `json:"repeat_last,omitempty"`    // how many of the last tokens of the text are recent
	Seed          uint64  `json:"seed"`                     // of the random numbers

	// What OpenAI's API has beside these: taken from the logit of a token that was sampled
	// before, once and as often as it was, and added to the logits of some tokens. Tokens
	// of the prompt do not count.
	PresencePenalty  float64           `json:"presence_penalty,omitempty"`
	FrequencyPenalty float64           `json:"frequency_penalty,omitempty"`
	LogitBias        map[int32]float64 `json:"logit_bias,omitempty"`
}

func (o Options) validate() error {
	for _, c := range []struct {
		name     string
		value    float64
		min, max float64
	}{
		{"temperature", o.Temperature, 0, math.MaxFloat64},
		{"top-k", float64(o.TopK), 0, math.MaxInt32},
		{"top-p", o.TopP, 0, 1},
		{"min-p", o.MinP, 0, 1},
		{"repetition penalty", o.RepeatPenalty, 0, math.MaxFloat64},
		{"repetition length", float64(o.RepeatLast), 0, math.MaxInt32},
		{"presence penalty", o.PresencePenalty, -math.MaxFloat32, math.MaxFloat32},
		{"frequency penalty", o.FrequencyPenalty, -math.MaxFloat32, math.MaxFloat32},
	} {
		if !(c.value >= c.min) || c.value > c.max { // not a number fails too
			return fmt.Errorf("%s %v: must be from %v to %v", c.name, c.value, c.min, c.max)
		}
	}
	for id, bias := range o.LogitBias {
		if id < 0 || !(math.Abs(bias) <= math.MaxFloat32) {
			return fmt.Errorf("logit bias %v of token %d: give a number and a token's id", bias, id)
		}
	}
	return nil
}

// Sampler chooses tokens. The same seed and equal logits give the same tokens
// on every machine. It is for one sequence and one goroutine, and allocates
// nothing after the first token, but for counting what it sampled where that matters.
type Sampler struct {
	o          Options
	rng        *rand.Rand
	candidates []candidate
	weights    []float64
	sampled    map[int32]int // how often, where a penalty asks
}

// New returns a sampler, or an error that names the option out of range.
func New(o Options) (*Sampler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.TopP == 0 {
		o.TopP = 1
	}
	if o.RepeatPenalty == 0 {
		o.RepeatPenalty = 1
	}
	s := &Sampler{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	if o.PresencePenalty != 0 || o.FrequencyPenalty != 0 {
		s.sampled = map[int32]int{}
	}
	return s, nil
}

// Options returns how the sampler chooses.
func (s *Sampler) Options() Options { return s.o }

// Greedy returns a sampler that takes the greatest logit.
func Greedy() *Sampler {
	s, _ := New(Options{}) // the zero value is valid
	return s
}

// Plain reports whether the sampler looks at the logits alone, at nothing that was sampled
// before: another can then choose as it does, by its Options and numbers from Uniform.
func (s *Sampler) Plain() bool {
	return s.o.RepeatPenalty == 1 && s.o.PresencePenalty == 0 && s.o.FrequencyPenalty == 0 && len(s.o.LogitBias) == 0
}

// Uniform returns the next random number from [0, 1), which Sample would choose by; 0, and
// none is drawn, of a greedy sampler.
func (s *Sampler) Uniform() float64 {
	if s.o.Temperature == 0 {
		return 0
	}
	return s.rng.Float64()
}

// Sample returns the token to follow text, given its logits [vocabulary], which
// stay as they are. Logits that are not numbers are never chosen over others.
func (s *Sampler) Sample(logits []float32, text []int32) int32 {
	if s.o.Temperature == 0 && s.Plain() {
		return greatest(logits)
	}
	s.load(logits, text)
	token := s.choose()
	if s.sampled != nil {
		s.sampled[token]++
	}
	return token
}

// greatest returns the token of the greatest logit, the smallest id among equals. It looks
// at eight at a time: few of a vocabulary beat all before them.
func greatest(logits []float32) int32 {
	best, token, at := float32(math.Inf(-1)), 0, 0
	look := func(end int) {
		for ; at < end; at++ {
			if l := finite(logits[at]); l > best {
				best, token = l, at
			}
		}
	}
	for at+8 <= len(logits) {
		l := logits[at : at+8 : at+8]
		if l[0] > best || l[1] > best || l[2] > best || l[3] > best || l[4] > best || l[5] > best || l[6] > best || l[7] > best {
			look(at + 8)
		} else {
			at += 8
		}
	}
	look(len(logits))
	return int32(token)
}

// choose chooses among the candidates.
func (s *Sampler) choose() int32 {
	if s.o.Temperature == 0 {
		best := s.candidates[0]
		for _, c := range s.candidates[1:] {
			if c.before(best) {
				best = c
			}
		}
		return best.id
	}
	return s.draw(s.filter())
}

// load makes the candidates, in the order of their ids, with their penalties and biases.
func (s *Sampler) load(logits []float32, text []int32) {
	s.candidates = s.candidates[:0]
	for id, l := range logits {
		s.candidates = append(s.candidates, candidate{int32(id), finite(l)})
	}
	if s.o.RepeatPenalty != 1 {
		s.penaliseRepeats(logits, text)
	}
	for id, n := range s.sampled {
		s.candidates[id].logit -= float32(s.o.PresencePenalty + float64(n)*s.o.FrequencyPenalty)
	}
	for id, bias := range s.o.LogitBias {
		if int(id) < len(s.candidates) {
			s.candidates[id].logit += float32(bias)
		}
	}
}

// penaliseRepeats holds back the tokens that the text ends with.
func (s *Sampler) penaliseRepeats(logits []float32, text []int32) {
	penalty := float32(s.o.RepeatPenalty)
	for _, id := range text[max(0, len(text)-s.o.RepeatLast):] {
		// From the logit itself, so a token repeated twice is punished once.
		if l := finite(logits[id]); l > 0 {
			s.candidates[id].logit = l / penalty
		} else {
			s.candidates[id].logit = l * penalty
		}
	}
}

// finite makes a logit comparable: no number is as bad as can be, and infinity
// is the greatest number.
func finite(l float32) float32 {
	switch {
	case l != l:
		return float32(math.Inf(-1))
	case l > math.MaxFloat32:
		return math.MaxFloat32
	}
	return l
}

// filter returns the candidates that top-k, top-p and min-p leave, at least one,
// and the greatest logit.
func (s *Sampler) filter() (kept []candidate, top float32) {
	all := s.candidates
	count := len(all)
	if s.o.TopK > 0 {
		count = min(s.o.TopK, count)
	}
	if count == len(all) && s.o.TopP == 1 && s.o.MinP == 0 {
		top = all[0].logit
		for _, c := range all {
			top = max(top, c.logit)
		}
		return all, top
	}
	cut := count < len(all)
	if cut {
		all = mostOf(all, count)
	}
	h := newHeap(all)
	top = h.best(0).logit
	enough := math.Inf(1)
	if s.o.TopP < 1 {
		var mass float64
		for i := range count {
			if cut {
				mass += weight(h.best(i).logit, top, 1)
			} else {
				mass += weight(all[i].logit, top, 1) // all of them, in whatever order
			}
		}
		enough = s.o.TopP * mass
	}
	n := 0
	for mass := 0.0; n < count; n++ {
		w := weight(h.best(n).logit, top, 1)
		if n > 0 && (mass >= enough || w < s.o.MinP) {
			break
		}
		mass += w
	}
	return h.taken(n), top
}

// draw chooses one of the candidates by the temperature.
func (s *Sampler) draw(kept []candidate, top float32) int32 {
	s.weights = s.weights[:0]
	var total float64
	for _, c := range kept {
		w := weight(c.logit, top, s.o.Temperature)
		s.weights = append(s.weights, w)
		total += w
	}
	left := float64(s.rng.Float64() * total)
	last := kept[0]
	for i, w := range s.weights {
		if w == 0 {
			continue
		}
		last = kept[i]
		if left -= w; left < 0 {
			break
		}
	}
	return last.id
}

// weight is the probability of a logit at a temperature, as a share of the
// greatest logit's.
func weight(logit, top float32, temperature float64) float64 {
	return exp((float64(logit) - float64(top)) / temperature)
}
