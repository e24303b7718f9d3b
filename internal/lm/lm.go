// Package lm holds the few words that the retrieval loop and the engines that
// it drives have in common.
package lm

import (
	"errors"

	"github.com/flashback-lm/flashback/internal/sample"
)

// ErrTooLong says that a text, with what a stride puts beside it, takes more positions
// than the model has.
var ErrTooLong = errors.New("too long for the model")

// Evidence is one retrieved passage as tokens, marks included.
type Evidence struct {
	Tokens []int32
	// Weight is the share of this passage's branch in the mixture of next-token
	// probabilities; the weights of one call sum to 1. Placements that put
	// passages side by side have one branch and ignore it.
	Weight float64
}

// Lengths returns the number of tokens of each passage.
func Lengths(evidence []Evidence) []int {
	lengths := make([]int, len(evidence))
	for i, ev := range evidence {
		lengths[i] = len(ev.Tokens)
	}
	return lengths
}

// Total returns the number of tokens of all passages.
func Total(evidence []Evidence) int {
	n := 0
	for _, ev := range evidence {
		n += len(ev.Tokens)
	}
	return n
}

// Sampler chooses the next token. An engine that has the logits calls Sample; one
// that samples where they are, on another machine, gets Options and returns tokens.
type Sampler interface {
	// Sample returns the token to follow text, given its logits [vocabulary]. For
	// several branches these are the logarithms of the mixed probabilities. Both
	// slices are only valid during the call.
	Sample(logits []float32, text []int32) int32
	Options() sample.Options
}

// Chooser is a Sampler for which a device may choose, from the logits that it has: where it
// is Plain, by its Options and one number from Uniform for each token.
type Chooser interface {
	Sampler
	Plain() bool
	Uniform() float64
}

// Accept is told each token as soon as it is sampled; stop ends the call after it.
type Accept func(token int32) (stop bool)

// Counts says how many tokens were computed and how many were not, which is
// what the placements differ in.
type Counts struct {
	Prompt         int `json:"prompt"`                  // tokens of the text before the first stride, encoded once
	PromptReused   int `json:"prompt_reused,omitempty"` // such tokens whose KV other texts had left
	Prefilled      int `json:"prefilled"`               // tokens encoded at the start of strides: evidence, echo, text sampled before
	Decoded        int `json:"decoded"`                 // tokens encoded one after the other as they were sampled
	Reused         int `json:"reused"`                  // context tokens whose KV was kept and read again
	Evidence       int `json:"evidence"`                // evidence tokens that were placed
	EvidenceReused int `json:"evidence_reused"`         // of those, tokens whose KV was kept from earlier
	Drafted        int `json:"drafted,omitempty"`       // tokens guessed and encoded beside decoded ones
	Accepted       int `json:"accepted,omitempty"`      // of those, tokens that were then sampled
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Prompt += o.Prompt
	c.PromptReused += o.PromptReused
	c.Prefilled += o.Prefilled
	c.Decoded += o.Decoded
	c.Reused += o.Reused
	c.Evidence += o.Evidence
	c.EvidenceReused += o.EvidenceReused
	c.Drafted += o.Drafted
	c.Accepted += o.Accepted
}

// Sub returns what was counted since before.
func (c Counts) Sub(before Counts) Counts {
	c.Prompt -= before.Prompt
	c.PromptReused -= before.PromptReused
	c.Prefilled -= before.Prefilled
	c.Decoded -= before.Decoded
	c.Reused -= before.Reused
	c.Evidence -= before.Evidence
	c.EvidenceReused -= before.EvidenceReused
	c.Drafted -= before.Drafted
	c.Accepted -= before.Accepted
	return c
}
