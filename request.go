package flashback

import (
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Request says what to write and how. The zero value of every field but Prompt
// is a default.
type Request struct {
	Prompt string
	// Adapter changes the model for this request; nil: none. What it was trained for
	// is then the default of Placement, Echo and Passages, and its marks stand around
	// the passages.
	Adapter *Adapter
	// Placement says where evidence stands: "virtual" (virtually in front, the
	// default), "append" (FlashBack's way, behind the context), "prepend"
	// (In-Context RALM) or "none". Without a retriever the default is "none".
	Placement string
	// Echo is how many of the last context tokens are encoded again in sight of the
	// evidence: append repeats them behind it, nil: 0; virtual in place, nil: 1.
	Echo *int

	Passages   int // passages a retrieval; 0: 1
	Stride     int // tokens from one retrieval to the next; 0: 16
	QueryLen   int // tokens of a query; 0: 32
	PassageLen int // tokens at which a passage is cut; 0: 128
	// MixFactor weighs several passages by softmax(factor · score / best score)
	// where each has a branch (append, prepend); nil: 10.
	MixFactor *float64
	// Sink is a token id put first in the text; nil: none.
	Sink *int32
	// ExcludeIDs and ExcludeTitles name passages never to be shown.
	ExcludeIDs, ExcludeTitles []string

	// LookAhead is how many tokens are guessed at once by copying from the evidence
	// and the text; 0: none. What is written does not change, only its speed.
	LookAhead int

	MaxTokens int      // tokens to write at most; 0: 128
	Stop      []string // strings that end the text
	IgnoreEOS bool     // write on behind the model's end-of-text token
	Sampling  Sampling // the zero value is greedy

	// Verify, if not nil, recomputes every stride in two independent ways.
	Verify *Verify
}

// Sampling says how a token is chosen; the zero value is greedy.
type Sampling sample.Options

func (s Sampling) sampler() (*sample.Sampler, error) { return sample.New(sample.Options(s)) }

// What a stream reports, and what it is made of.
type (
	// Event is a Stride, a Token or a Finish.
	Event = ralm.Event
	// Stride reports a retrieval, before the tokens that see its passages.
	Stride = ralm.Stride
	// Token reports one written token.
	Token = ralm.Token
	// Finish reports the end: the reason, counts and timings.
	Finish = ralm.Finish
	// Counts says how many tokens were computed and how many were reused.
	Counts = lm.Counts
	// Trace collects events.
	Trace = ralm.Trace
	// Passage is a piece of a document.
	Passage = retrieve.Passage
	// Query asks a Retriever for passages.
	Query = retrieve.Query
	// Retriever finds passages; implement it to bring your own.
	Retriever = retrieve.Retriever
)

// Placements lists the names that Request.Placement takes.
func Placements() []string {
	var names []string
	for _, p := range placement.All {
		names = append(names, p.Name)
	}
	return names
}

// placement returns the row of the table that the request names.
func (r Request) placement(retriever bool) (placement.Placement, error) {
	p := placement.Virtual
	switch {
	case r.Placement != "":
		var err error
		if p, err = placement.Parse(r.Placement); err != nil {
			return p, err
		}
	case !retriever:
		p = placement.None
	}
	if r.Echo != nil {
		return p.WithEcho(*r.Echo)
	}
	return p, nil
}
