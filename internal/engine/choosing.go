package engine

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/lm"
)

// choosing is how a device chooses the tokens of a sequence, so that their logits stay
// where they are.
type choosing struct {
	sampler lm.Chooser
	choice  device.Choice
	// uniforms are the numbers of the tokens to come. Those that were drawn for guesses which
	// were wrong are the next tokens', as if nobody had guessed.
	uniforms []float32
	tokens   []int32 // of the last forward's rows
}

// choosingFor returns how the device chooses as a sampler does; nil: it does not, or the
// sampler looks at more than logits.
func (s *Sequence) choosingFor(sampler lm.Sampler) *choosing {
	c, ok := sampler.(lm.Chooser)
	switch {
	case !ok || !c.Plain() || s.e.batch.work.chooser == nil:
		return nil
	case s.choosing != nil && s.choosing.sampler == c: // with the numbers that are left
		return s.choosing
	}
	o := c.Options()
	return &choosing{sampler: c, choice: device.Choice{
		Temperature: float32(o.Temperature), TopP: float32(o.TopP), MinP: float32(o.MinP), TopK: int32(o.TopK),
	}}
}

// of returns the choice of the nth row of a forward; nobody's is greedy.
func (c *choosing) of(nth int) device.Choice {
	if c == nil {
		return device.Choice{}
	}
	for len(c.uniforms) <= nth {
		c.uniforms = append(c.uniforms, float32(c.sampler.Uniform()))
	}
	choice := c.choice
	choice.Uniform = min(c.uniforms[nth], 1-0x1p-24)
	return choice
}

// choosing returns how the stride's tokens are chosen by the device; nil where its branches
// are mixed.
func (st *stride) choosing() *choosing {
	c := st.s.choosing
	if c == nil || len(st.branches) != 1 {
		return nil
	}
	c.tokens = c.tokens[:0]
	return c
}

// sample returns the token of the nth row of the last forward.
func (st *stride) sample(s lm.Sampler, nth int, text []int32) int32 {
	c := st.s.choosing
	if c == nil || len(st.branches) != 1 {
		return s.Sample(st.logits(nth), text)
	}
	c.uniforms = c.uniforms[:copy(c.uniforms, c.uniforms[min(1, len(c.uniforms)):])]
	return c.tokens[nth]
}
