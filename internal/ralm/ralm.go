// Package ralm is the retrieval-augmented language model: every few tokens it
// looks passages up and lets the model see them while it writes the next ones.
//
// One stride (FlashBack, arXiv 2405.04065) is
//
//  1. query: the last tokens of the text so far, without evidence;
//  2. retrieve: the query's best passages, as evidence tokens;
//  3. encode what is new: the tokens of the stride before, evidence and echo, on
//     top of the KV that was kept;
//  4. sample the next tokens;
//  5. forget the evidence, and the KV of those tokens, which saw it.
//
// Steps 3 to 5 are Sequence.Continue; of step 3 the tokens of the stride before are
// encoded while a slow retriever is still at step 2 (retrieve.go). Where evidence stands
// is data, the table of package placement: the loop is the same for all of them.
package ralm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Sequence is the language model that the loop drives: a kept text whose KV is
// that of the plain text, and evidence beside it for one call at a time.
type Sequence interface {
	// Len returns the number of kept tokens.
	Len() int
	// Tokens returns the kept tokens, to be read only.
	Tokens() []int32
	// Append adds tokens to the kept text; they are encoded when next needed.
	Append(tokens ...int32) error
	// Encode encodes what of the first n tokens of the kept text the next call of
	// Continue would find no KV of, as plain text. What Continue returns and counts stays
	// the same.
	Encode(ctx context.Context, n int) error
	// Continue samples up to n tokens after kept ++ evidence, keeps them, and
	// forgets the evidence; accept may end it sooner. It returns the tokens sampled,
	// the stopping one included; on an error, those sampled before it, which are kept
	// too.
	Continue(ctx context.Context, p placement.Placement, evidence []lm.Evidence, n int, sampler lm.Sampler, accept lm.Accept) ([]int32, error)
	// Counts returns what has been computed for this sequence so far.
	Counts() lm.Counts
	// MaxContext returns the longest sequence that the model takes.
	MaxContext() int
}

// Tokenizer turns text into tokens and back.
type Tokenizer interface {
	// Encode reads everything in text as plain text, names of special tokens too.
	Encode(text string) []int32
	// Decode returns the tokens' bytes, which may begin or end inside a character.
	Decode(tokens []int32) string
}

// Generator writes one text. It is not safe for concurrent use.
type Generator struct {
	sequence  Sequence
	tokenizer Tokenizer
	retriever retrieve.Retriever
	passages  tokenised
}

// New returns a generator that goes on with the sequence's text. The retriever
// may be nil where the placement is none.
func New(s Sequence, t Tokenizer, r retrieve.Retriever) *Generator {
	return &Generator{sequence: s, tokenizer: t, retriever: r}
}

// Generate appends the prompt to the text and writes on, one Event after the
// other: a Stride before its Tokens, and one Finish at the end, after a
// cancellation too. An error ends the events and stands alone. Whoever stops
// reading ends the generation; every token seen is part of the sequence's text.
func (g *Generator) Generate(ctx context.Context, prompt []int32, o Options) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := &run{Generator: g, o: o, start: time.Now(), before: g.sequence.Counts()}
		r.send = func(e Event) bool {
			r.deserted = r.deserted || !yield(e, nil)
			return !r.deserted
		}
		err := r.begin(prompt)
		if err == nil {
			err = r.strides(ctx)
		}
		switch {
		case r.deserted:
		case err != nil && ctx.Err() != nil:
			r.send(r.finish(Cancelled))
		case err != nil:
			yield(nil, err)
		default:
			r.send(r.finish(r.reason))
		}
	}
}

// run is one call of Generate.
type run struct {
	*Generator
	o        Options
	send     func(Event) bool
	deserted bool // nobody reads the events any more

	text    []int32 // the sequence's, and the tokens of this stride
	sink    int     // tokens of the text that are no text: 1 where a sink stands first
	prompt  int     // tokens of the text before the first one sampled
	stops   *sample.Stops
	reason  Reason             // why the generation ends; empty while it goes on
	weigher *weigher           // of this stride's tokens; nil: nobody asks
	shown   []retrieve.Passage // of the stride before, where they are exchanged for clearly better ones only
	// The passages of the turn's first look-up, where they stand before it, and how many
	// joining makes of them.
	inTurn []retrieve.Passage
	joined int

	start, first, last time.Time // of the generation, its first and its last token
	retrieving         time.Duration
	before             lm.Counts
}

// begin checks the options and appends the prompt.
func (r *run) begin(prompt []int32) error {
	if err := r.o.validate(r.retriever != nil); err != nil {
		return err
	}
	s := r.sequence
	if r.o.Sink >= 0 && s.Len() == 0 {
		prompt = append([]int32{r.o.Sink}, prompt...)
	}
	if n := s.Len() + len(prompt); n == 0 {
		return errors.New("the prompt is empty: give at least one token")
	} else if n >= s.MaxContext() {
		return fmt.Errorf("%w: the prompt takes the text to %d tokens and the model reads %d at most: shorten it", lm.ErrTooLong, n, s.MaxContext())
	}
	if err := s.Append(prompt...); err != nil {
		return err
	}
	r.text = slices.Clone(s.Tokens())
	r.prompt = len(r.text)
	if r.o.Sink >= 0 && r.text[0] == r.o.Sink {
		r.sink = 1
	}
	if at := r.o.Placement.At; at < 0 || at > 0 && at >= r.prompt {
		return fmt.Errorf("evidence cannot stand at token %d of a prompt of %d", at, r.prompt)
	}
	if turn := r.o.Turn; turn < 0 || turn >= r.prompt {
		return fmt.Errorf("a turn cannot begin at token %d of a prompt of %d", turn, r.prompt)
	}
	r.stops = sample.NewStops(r.o.Stop...)
	return nil
}

// strides is the loop.
func (r *run) strides(ctx context.Context) error {
	for i := 0; r.reason == "" && !r.deserted; i++ {
		st, evidence, err := r.lookUp(ctx)
		if err != nil {
			return err
		}
		st.Index = i
		p := r.o.Placement
		if len(evidence) == 0 {
			p = placement.None
		}
		p = p.ForTurn(len(r.text), r.o.Turn)
		st.Placement = p.Name
		n := min(r.o.Stride, r.left())
		if over := p.Positions(len(r.text), lm.Lengths(evidence), n) - r.sequence.MaxContext(); over > 0 {
			n -= over // the last stride is as short as what is left
		}
		if n < 1 {
			r.reason = Length
			return nil
		}
		if !r.send(st) {
			return nil
		}
		var sampler lm.Sampler = r.o.Sampler
		if r.o.Logprobs {
			r.weigher = &weigher{Sampler: sampler, likeliest: r.o.Likeliest}
			sampler = r.weigher
		}
		var record *Record
		if r.o.Record != nil {
			record = &Record{Stride: i, Placement: p, Context: slices.Clone(r.text), Evidence: evidence}
			sampler = recorder{sampler, record}
		}
		sampled, err := r.sequence.Continue(ctx, p, evidence, n, sampler, r.accept)
		if err != nil {
			return err
		}
		if len(sampled) == 0 {
			return errors.New("the model returned no token")
		}
		if record != nil {
			record.Sampled = sampled
			if err := r.o.Record(ctx, *record); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookUp retrieves the passages of the next stride. No evidence comes of no
// passages, and of a text too short to put any beside.
func (r *run) lookUp(ctx context.Context) (Stride, []lm.Evidence, error) {
	st := Stride{Context: len(r.text)}
	if r.o.Placement.Evidence == placement.Nowhere || len(r.text) < 2 {
		return st, nil, nil
	}
	query := r.o.Query
	if query == nil {
		query = LastTokens(r.tokenizer, r.o.QueryLen)
	}
	st.Query = query(r.text[r.sink:], r.prompt-r.sink)
	k := r.o.K
	if r.o.Exchange > 0 && len(r.shown) > 0 {
		k += rivals
	}
	a, err := r.retrieve(ctx, retrieve.Query{
		Text: st.Query, K: k, ExcludeIDs: r.o.ExcludeIDs, ExcludeTitles: r.o.ExcludeTitles, ExcludeSources: r.o.ExcludeSources,
	})
	if err != nil {
		return st, nil, err
	}
	start := time.Now()
	if r.o.Exchange > 0 {
		r.shown = exchange(r.shown, a.found, r.o.K, r.o.Exchange)
		a.found = r.shown
	}
	if r.o.Placement.Evidence == placement.BeforeTurn {
		a.found = r.firstAnd(a.found)
	}
	found, err := r.join(ctx, a.found)
	if err != nil {
		return st, nil, err
	}
	if r.joined == 0 {
		r.joined = len(found) // none is later than the first look-up
	}
	var evidence []lm.Evidence
	st.Passages, evidence = r.passages.placeTurn(r.tokenizer, found, r.joined, &r.o)
	st.Retrieve = a.took + time.Since(start)
	r.retrieving += st.Retrieve
	return st, evidence, nil
}

// firstAnd returns the passages of the turn's first look-up that found any, and then
// those of found that are not among them.
func (r *run) firstAnd(found []retrieve.Passage) []retrieve.Passage {
	if r.inTurn == nil {
		r.inTurn = found
		return found
	}
	all := slices.Clone(r.inTurn)
	for _, p := range found {
		if !slices.ContainsFunc(r.inTurn, same(p)) {
			all = append(all, p)
		}
	}
	return all
}

// accept shows a token; it is what Continue calls.
func (r *run) accept(token int32) (stop bool) {
	r.text = append(r.text, token)
	r.last = time.Now()
	if r.first.IsZero() {
		r.first = r.last
	}
	e := Token{ID: token}
	if r.weigher != nil {
		e.Logprob, e.Likeliest = r.weigher.sampled.Logprob, r.weigher.best
	}
	if slices.Contains(r.o.StopTokens, token) {
		r.reason = EOS
	} else if e.Text, stop = r.stops.Write(r.tokenizer.Decode(r.text[len(r.text)-1:])); stop {
		r.reason = Stop
	} else if r.left() == 0 {
		r.reason = Limit
	}
	return !r.send(e) || r.reason != ""
}

// weigher is a sampler that knows how probable the last token was that it sampled.
type weigher struct {
	lm.Sampler
	likeliest int
	sampled   sample.Likely
	best      []sample.Likely
}

// Sample implements lm.Sampler.
func (w *weigher) Sample(logits []float32, text []int32) int32 {
	token := w.Sampler.Sample(logits, text)
	w.sampled, w.best = sample.Weigh(logits, token, w.likeliest)
	return token
}

// left returns how many tokens may still be sampled.
func (r *run) left() int { return r.o.MaxTokens - (len(r.text) - r.prompt) }

func (r *run) finish(why Reason) Finish {
	f := Finish{Reason: why, Counts: r.sequence.Counts().Sub(r.before), Retrieve: r.retrieving}
	if r.stops != nil {
		f.Text = r.stops.Flush()
	}
	if n := len(r.text) - r.prompt; n > 0 {
		f.Tokens, f.FirstToken, f.Decode = n, r.first.Sub(r.start), r.last.Sub(r.first)
	}
	return f
}
