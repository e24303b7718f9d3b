package flashback

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Request says what to write and how. The zero value of every field but Prompt
// is a default, which Resolve fills in.
type Request struct {
	Prompt string
	// Tokens are the prompt as token ids, instead of Prompt; nil: Prompt.
	Tokens []int32
	// Special reads the control tokens that the prompt names, such as <|im_start|>;
	// otherwise they are plain text.
	Special bool
	// Adapter changes the model for this request; nil: none. What it was trained for
	// is then the default of Placement, Echo and Passages, and its marks stand around
	// the passages.
	Adapter *Adapter
	// Placement says where evidence stands: "virtual" (virtually in front, the
	// default), "append" (FlashBack's way, behind the context), "prepend"
	// (In-Context RALM) or "none"; in a chat also "in-turn" (the first look-up's passages
	// as if pasted before the question, later ones virtual). Without a retriever the default is "none".
	Placement string
	// Echo is how many of the last context tokens are encoded again in sight of the
	// evidence: append repeats them behind it, nil: 0; virtual in place, nil: 1, in a
	// chat EchoTurn.
	Echo *int

	// Apart is how many positions there are from the end of a virtual passage to that of
	// the next worse one, in front of it; nil: 0, all end together, in a chat 256.
	Apart *int

	Passages   int // passages a retrieval; 0: 1
	Stride     int // tokens from one retrieval to the next; 0: 16
	QueryLen   int // tokens of a query; 0: 32
	PassageLen int // tokens at which a passage is cut; 0: 128
	// ContextBudget is how many tokens all passages of a retrieval may take. Each gets
	// the same share, PassageLen at most, and one that is shorter is joined with what
	// stands before and behind it in its section. 0: passages are cut at PassageLen, and
	// none is joined.
	ContextBudget int
	// MixFactor weighs several passages by softmax(factor · score / best score)
	// where each has a branch (append, prepend); nil: 10.
	MixFactor *float64
	// Sink is a token id put first in the text; nil: the model's BOS where it wants
	// one, and then no other is taken, or else none.
	Sink *int32
	// ExcludeIDs, ExcludeTitles and ExcludeSources (files) name passages never to be shown.
	ExcludeIDs, ExcludeTitles, ExcludeSources []string
	// Retriever looks passages up instead of the engine's; nil: the engine's.
	Retriever Retriever

	// LookAhead is how many tokens are guessed at once by copying from the evidence
	// and the text; 0: as many as pay on the device, none on the CPU; -1: none. What is written
	// does not change, only its speed.
	LookAhead int

	// Salt keeps keys and values of this text and of its passages apart: a later text that
	// begins alike, or is shown the same passages, finds and reuses them, but only under the
	// same salt.
	Salt string

	MaxTokens int      // tokens to write at most; 0: 128
	Stop      []string // strings that end the text
	IgnoreEOS bool     // write on behind the model's tokens that end a text or a turn
	Sampling  Sampling // the zero value is greedy

	// Logprobs has each Token say its log-probability, and those of the Likeliest likeliest
	// tokens in its place.
	Logprobs  bool
	Likeliest int

	// Verify, if not nil, recomputes every stride in two independent ways.
	Verify *Verify
}

// EchoTurn is the echo of a chat's whole turn: the question and the answer so far.
const EchoTurn = placement.Turn

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
	// Likely is a token and the natural logarithm of its probability.
	Likely = sample.Likely
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

// Defaults returns what the zero values of a request stand for: the paper's
// settings and greedy choice of tokens. The placement stays open, for it depends on
// the engine and the adapter: Resolve sets it.
func Defaults() Request {
	d := ralm.Defaults()
	return Request{
		Passages: d.K, Stride: d.Stride, QueryLen: d.QueryLen, PassageLen: d.PassageLen, MixFactor: &d.MixFactor,
		MaxTokens: d.MaxTokens,
		Sampling:  Sampling{RepeatPenalty: 1, RepeatLast: 64},
	}
}

// AnswerDefaults returns a request for short answers to questions, as `flashback
// ask` and `flashback demo` write them; docs/answers.md says why.
func AnswerDefaults() Request {
	r := Defaults()
	r.Passages, r.QueryLen = 2, 8
	r.PassageLen, r.ContextBudget = 400, 800
	r.Sampling.RepeatPenalty = 1.05
	return r
}

// Trained returns a request's defaults as an adapter was trained (the zero value: none),
// which goes before what is otherwise done: the number of passages, and where they are
// cut, none then being joined.
func (r Request) Trained(trained AdapterInfo) Request {
	r.Passages = cmp.Or(trained.Passages, r.Passages)
	if trained.PassageLen > 0 {
		r.PassageLen, r.ContextBudget = trained.PassageLen, 0
	}
	return r
}

// Resolve returns the request with all said that it leaves open: first by what the
// adapter was trained for (the zero value: none is used), then by Defaults.
// retriever tells whether there is one to look passages up in, chat whether a
// question is to be answered: then virtual evidence is read by the whole turn, since
// a question that was read without the passages is answered without them, and stands
// apart.
func (r Request) Resolve(trained AdapterInfo, retriever, chat bool) (Request, error) {
	d := Defaults()
	switch {
	case r.Placement != "":
	case retriever:
		r.Placement = cmp.Or(trained.Placement, placement.Virtual.Name)
	default:
		r.Placement = placement.None.Name
	}
	p, err := placement.ParseChat(r.Placement)
	if err != nil {
		return r, err
	}
	if p.Evidence == placement.BeforeTurn && !chat {
		return r, fmt.Errorf("placement %s is a chat's: a text has no turns", p.Name)
	}
	switch {
	case r.Echo != nil:
	case trained.Echo != 0 && r.Placement == trained.Placement:
		r.Echo = new(int(trained.Echo))
	case chat && p.Evidence == placement.BeforeZero:
		r.Echo = new(EchoTurn)
	default:
		r.Echo = &p.Echo
	}
	switch {
	case r.Apart != nil:
	case trained.Placement == r.Placement:
		r.Apart = &trained.Apart
	case chat && p.EvidenceSees == placement.SeesSink:
		r.Apart = new(placement.AnswerApart)
	default:
		r.Apart = &p.Apart
	}
	if *r.Echo == EchoTurn && !chat {
		return r, errors.New("an echo of the turn is a chat's: a text has no turns, give a number of tokens")
	}
	if _, err := r.placed(); err != nil {
		return r, err
	}
	r.Passages = cmp.Or(r.Passages, trained.Passages, d.Passages)
	r.Stride = cmp.Or(r.Stride, d.Stride)
	r.QueryLen = cmp.Or(r.QueryLen, d.QueryLen)
	r.PassageLen = cmp.Or(r.PassageLen, trained.PassageLen, d.PassageLen)
	if share := r.ContextBudget / r.Passages; r.ContextBudget != 0 && share < 1 {
		return r, fmt.Errorf("a context budget of %d tokens is none for %d passages", r.ContextBudget, r.Passages)
	} else if share > 0 {
		r.PassageLen = min(r.PassageLen, share)
	}
	r.MixFactor = cmp.Or(r.MixFactor, d.MixFactor)
	r.MaxTokens = cmp.Or(r.MaxTokens, d.MaxTokens)
	return r, nil
}

// placed returns the placement with its echo and how far its passages stand apart, all of
// which the request says.
func (r Request) placed() (placement.Placement, error) {
	p, err := placement.ParseChat(r.Placement)
	if err == nil {
		p, err = p.WithEcho(*r.Echo)
	}
	if err == nil {
		p, err = p.WithApart(*r.Apart)
	}
	return p, err
}

// resolve is Resolve on this engine.
func (e *Engine) resolve(r Request, trained AdapterInfo, chat bool) (Request, error) {
	if e.engine == nil && r.Placement == "" && e.looksIn(r) != nil {
		r.Placement = EnginePlacement
	}
	return r.Resolve(trained, e.looksIn(r) != nil, chat)
}

// loop returns the loop's options for a request on this engine, in the request's
// order.
func (e *Engine) loop(r Request, chat bool) (o ralm.Options, err error) {
	var trained AdapterInfo
	if r.Adapter != nil {
		trained = r.Adapter.Info()
	}
	if r, err = e.resolve(r, trained, chat); err != nil {
		return o, err
	}
	if err := e.checkTokens(r); err != nil {
		return o, err
	}
	o = ralm.Options{
		Stride: r.Stride, K: r.Passages, QueryLen: r.QueryLen, PassageLen: r.PassageLen, Join: r.ContextBudget > 0,
		Marks: (*ralm.Marks)(trained.Marks), MixFactor: *r.MixFactor, Sink: -1,
		ExcludeIDs: r.ExcludeIDs, ExcludeTitles: r.ExcludeTitles, ExcludeSources: r.ExcludeSources,
		MaxTokens: r.MaxTokens, Stop: r.Stop, Logprobs: r.Logprobs, Likeliest: r.Likeliest,
	}
	if o.Placement, err = r.placed(); err != nil {
		return o, err
	}
	o.Placement = e.backend.place(o.Placement)
	pieces := r.Passages
	if chat && o.Placement.InText() {
		pieces = 1 // they are joined
	}
	if err := e.backend.check(r, o.Placement, pieces); err != nil {
		return o, err
	}
	e.cut(&o)
	lead := e.tokenizer.Lead()
	switch {
	case len(lead) > 0 && r.Sink != nil:
		return o, fmt.Errorf("this model's texts begin with its own token %d, %s, which is the sink: leave out the one that you name",
			lead[0], e.tokenizer.Bytes(lead[0]))
	case len(lead) > 0:
		o.Sink = lead[0]
	case r.Sink != nil:
		if *r.Sink < 0 || int(*r.Sink) >= e.backend.vocab() {
			return o, fmt.Errorf("sink %d is not one of the model's %d tokens", *r.Sink, e.backend.vocab())
		}
		o.Sink = *r.Sink
	}
	if !r.IgnoreEOS {
		o.StopTokens = e.tokenizer.Ends()
	}
	if o.Sampler, err = r.Sampling.sampler(); err != nil {
		return o, err
	}
	if r.Verify != nil {
		o.Record = r.Verify.attach(e, r.Adapter)
	}
	return o, nil
}

// looksIn returns what a request looks passages up in, or nil.
func (e *Engine) looksIn(r Request) Retriever {
	if r.Retriever != nil {
		return r.Retriever
	}
	return e.retriever
}

// checkTokens refuses ids that are no token of the model.
func (e *Engine) checkTokens(r Request) error {
	vocab := e.backend.vocab()
	for _, id := range r.Tokens {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token %d of the prompt is not one of the model's %d", id, vocab)
		}
	}
	for id := range r.Sampling.LogitBias {
		if int(id) >= vocab {
			return fmt.Errorf("token %d of the logit bias is not one of the model's %d", id, vocab)
		}
	}
	return nil
}

// cut shortens passages to what stands in front of a text whose positions were learned.
func (e *Engine) cut(o *ralm.Options) {
	room := o.Placement.Reserve
	if o.Marks != nil {
		room -= 2
	}
	if o.Placement.Reserve > 0 && o.PassageLen > room {
		e.warn(fmt.Sprintf("passages are cut to %d tokens, not %d: the model's positions were learned, and %d are kept free in front of the text", room, o.PassageLen, o.Placement.Reserve))
		o.PassageLen = room
	}
}
