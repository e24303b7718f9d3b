package ralm

import (
	"time"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Event is what a generation reports: a Stride, a Token or a Finish.
type Event interface{ event() }

// Stride reports a retrieval, before the tokens that see its passages.
type Stride struct {
	Index     int           `json:"stride"`
	Context   int           `json:"context"` // tokens of the text before it
	Query     string        `json:"query,omitempty"`
	Placement string        `json:"placement"` // none where no passage was found
	Passages  []Placed      `json:"passages,omitempty"`
	Retrieve  time.Duration `json:"retrieve_ns"` // until the passages were there; the model may have encoded meanwhile
}

// Placed is a passage as the model saw it.
type Placed struct {
	retrieve.Passage
	Tokens int     `json:"evidence_tokens"`  // marks included
	Weight float64 `json:"weight,omitempty"` // of its branch in the mixture; 0 where passages share one
	// InTurn tells that it stands in the text before the turn, while others are virtual.
	InTurn bool `json:"in_turn,omitempty"`
}

// Token reports one sampled token.
type Token struct {
	ID int32 `json:"id"`
	// Text is what became certain of the text with this token: whole characters
	// and nothing that may yet be a stop string, so it may be empty, or longer
	// than the token.
	Text string `json:"text"`
	// Logprob is the natural logarithm of its probability, and Likeliest are the tokens
	// that were most probable in its place, where Options.Logprobs asks for them.
	Logprob   float64         `json:"logprob,omitempty"`
	Likeliest []sample.Likely `json:"likeliest,omitempty"`
}

// Reason says why a generation ended.
type Reason string

// The reasons.
const (
	Stop      Reason = "stop"      // a stop string
	EOS       Reason = "eos"       // a stop token
	Length    Reason = "length"    // the next stride does not fit the model's context
	Limit     Reason = "limit"     // MaxTokens
	Cancelled Reason = "cancelled" // the context was cancelled
)

// Finish reports the end.
type Finish struct {
	Reason     Reason        `json:"reason"`
	Text       string        `json:"text,omitempty"` // the rest of the text, held back until now
	Tokens     int           `json:"tokens"`         // tokens sampled
	Counts     lm.Counts     `json:"counts"`
	Retrieve   time.Duration `json:"retrieve_ns"`    // all retrievals
	FirstToken time.Duration `json:"first_token_ns"` // from the start to the first token
	Decode     time.Duration `json:"decode_ns"`      // from the first token to the last, later strides' work included
}

func (Stride) event() {}
func (Token) event()  {}
func (Finish) event() {}

// Trace collects the events of a generation, to be kept as JSON.
type Trace struct {
	Strides []TracedStride `json:"strides"`
	Finish  *Finish        `json:"finish,omitempty"` // nil after an error
}

// TracedStride is a stride and what was written in it.
type TracedStride struct {
	Stride
	Tokens []int32 `json:"tokens"`
	Text   string  `json:"text"` // what became certain during the stride
}

// Add adds an event.
func (t *Trace) Add(e Event) {
	switch e := e.(type) {
	case Stride:
		t.Strides = append(t.Strides, TracedStride{Stride: e})
	case Token:
		s := &t.Strides[len(t.Strides)-1]
		s.Tokens = append(s.Tokens, e.ID)
		s.Text += e.Text
	case Finish:
		t.Finish = &e
	}
}

// Text returns the text written.
func (t *Trace) Text() string {
	var text string
	for _, s := range t.Strides {
		text += s.Text
	}
	if t.Finish != nil {
		text += t.Finish.Text
	}
	return text
}

// Sources returns the passages that were shown, each once and with the score that
// it had first, in the order in which they were. Passages with one id may be
// different ones: ids are unique in their source only, and a retriever need not
// name sources.
func (t *Trace) Sources() []retrieve.Passage {
	var sources []retrieve.Passage
	seen := map[retrieve.Passage]bool{}
	for _, s := range t.Strides {
		for _, p := range s.Passages {
			if same := unscored(p.Passage); !seen[same] {
				seen[same] = true
				sources = append(sources, p.Passage)
			}
		}
	}
	return sources
}
