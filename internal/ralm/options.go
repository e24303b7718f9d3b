package ralm

import (
	"context"
	"fmt"

	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Options of one generation. Start from Defaults.
type Options struct {
	Placement placement.Placement // where evidence stands
	Stride    int                 // tokens from one retrieval to the next
	K         int                 // passages a retrieval
	QueryLen  int                 // tokens of a query
	// PassageLen is where a passage's tokens are cut, marks not counted.
	PassageLen int
	// Join makes passages that are shorter longer, up to PassageLen, by what stands
	// around them, where the retriever knows.
	Join bool
	// Exchange is how many times the score of a passage in sight a new one must have to
	// take its place; 0: each look-up's best are shown, as in the paper.
	Exchange float64
	// Marks bound each passage; nil: none. They mean something only to a model
	// that was trained with them.
	Marks *Marks
	// Joined passages are one piece of evidence, in order, with Separator behind each:
	// a prompt that they were pasted into, where each reads those before it. Otherwise
	// passages stand side by side or have a branch each, as the placement says.
	Joined    bool
	Separator []int32
	// MixFactor f weighs the branches of several passages by
	// softmax(f · score / best score).
	MixFactor float64
	// Sink is a token put first in an empty text, or -1. It is in no query.
	Sink int32
	// ExcludeIDs, ExcludeTitles and ExcludeSources name passages never to be shown.
	ExcludeIDs, ExcludeTitles, ExcludeSources []string
	// Turn is the token of the text at which the turn begins that an echo of
	// placement.Turn repeats.
	Turn int
	// Query makes the query of each stride; nil is the paper's, the last QueryLen
	// tokens of the text.
	Query Query

	MaxTokens  int      // tokens to sample at most
	StopTokens []int32  // tokens that end the text and are not shown
	Stop       []string // strings that end the text before themselves

	Sampler *sample.Sampler // nil: greedy

	// Logprobs has each token say its log-probability and those of the Likeliest likeliest.
	Logprobs  bool
	Likeliest int

	// Record, if any, gets every stride when it is complete; its error ends the
	// generation.
	Record func(context.Context, Record) error
}

// Marks are the tokens that stand around a passage.
type Marks struct{ Left, Right int32 }

// Defaults returns the paper's settings, with evidence placed virtually, which
// an untuned model understands.
func Defaults() Options {
	return Options{
		Placement: placement.Virtual, Stride: 16, K: 1, QueryLen: 32, PassageLen: 128,
		MixFactor: 10, Sink: -1, MaxTokens: 128, Sampler: sample.Greedy(),
	}
}

func (o *Options) validate(retriever bool) error {
	for _, c := range []struct {
		name  string
		value int
	}{
		{"stride", o.Stride}, {"number of passages", o.K}, {"query length", o.QueryLen},
		{"passage length", o.PassageLen}, {"number of tokens", o.MaxTokens},
	} {
		if c.value < 1 {
			return fmt.Errorf("%s %d: must be at least 1", c.name, c.value)
		}
	}
	if !(o.Exchange >= 0) {
		return fmt.Errorf("exchange of passages at %v times the score: must not be negative", o.Exchange)
	}
	if !(o.MixFactor >= 0) {
		return fmt.Errorf("mixing factor %v: must not be negative", o.MixFactor)
	}
	if !retriever && o.Placement.Evidence != placement.Nowhere {
		return fmt.Errorf("placement %s: needs an index to look passages up in", o.Placement.Name)
	}
	if o.Sampler == nil {
		o.Sampler = sample.Greedy()
	}
	return nil
}
