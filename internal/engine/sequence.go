package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Sequence is a text whose KV is kept: always that of the plain text, never of
// evidence or of tokens that saw evidence. It is not safe for concurrent use;
// several sequences of one engine are.
type Sequence struct {
	e       *Engine
	tokens  []int32
	context *kvcache.Span // the KV of the first context.Len() tokens
	frame   frame         // its positions'
	fresh   int           // appended tokens that no stride has counted yet
	ahead   int           // tokens that Encode has encoded and no stride has counted yet
	counts  lm.Counts

	lookAhead int
	guessing  guessing
	adapter   *Adapter // nil: none
	salt      string
	choosing  *choosing // by which the device chooses what Continue samples; nil: the sampler does

	fw forward // the one that it asks for
}

// NewSequence returns an empty sequence.
func (e *Engine) NewSequence() *Sequence {
	return &Sequence{e: e, context: e.pool.NewSpan(0)}
}

// Close gives the sequence's KV back. That of whole pages of text is kept, as long as
// there is room, for sequences that begin alike.
func (s *Sequence) Close() {
	s.e.batch.gone(&s.fw)
	s.forgetReading()
	if s.e.beginnings != nil {
		s.e.beginnings.keep(s.origin(), s.tokens, s.context)
	}
	s.context.Release()
}

// Rest says that the sequence will not go on in a moment, so that nobody need be ready for it.
func (s *Sequence) Rest() { s.e.batch.gone(&s.fw) }

// Len returns the number of kept tokens.
func (s *Sequence) Len() int { return len(s.tokens) }

// Tokens returns the kept tokens, to be read only.
func (s *Sequence) Tokens() []int32 { return s.tokens }

// Counts returns what has been computed for this sequence.
func (s *Sequence) Counts() lm.Counts { return s.counts }

// MaxContext returns the longest sequence that the model takes, in positions.
func (s *Sequence) MaxContext() int { return s.e.weights.Config.Context }

// LookAhead lets Continue encode up to n tokens at once that it guesses by copying
// from the evidence or the text; 0, the default, as many as pay on the device: none on the
// CPU, and on a card some as long as enough of them are right; below 0 none at all. What is sampled
// does not change, for any sampler: a guess only counts once the token that was
// sampled from the very same logits is equal to it.
func (s *Sequence) LookAhead(n int) { s.lookAhead = n }

// guesses returns how many tokens to guess next.
func (s *Sequence) guesses() int {
	switch {
	case s.lookAhead != 0:
		return max(0, s.lookAhead)
	case s.e.dev.Info().Rows == 0 || !s.guessing.pays():
		return 0
	}
	return mostGuesses
}

// Append adds tokens to the kept text; they are encoded when next needed.
func (s *Sequence) Append(tokens ...int32) error {
	if n := len(s.tokens) + len(tokens); n > s.MaxContext() {
		return fmt.Errorf("%w: the text has %d tokens and the model takes %d: shorten it, or use a model with a longer context", ErrTooLong, n, s.MaxContext())
	}
	s.tokens = append(s.tokens, tokens...)
	s.fresh += len(tokens)
	return nil
}

// Truncate keeps the first n tokens only.
func (s *Sequence) Truncate(n int) {
	if n < len(s.tokens) {
		s.forgetReading()
		s.fresh = max(0, s.fresh-(len(s.tokens)-n))
		s.tokens = s.tokens[:n]
		s.context.Truncate(n)
	}
}

// Fork returns a sequence with the same text, sharing its KV, which counts as its own
// only what it computes itself.
func (s *Sequence) Fork() *Sequence {
	return &Sequence{e: s.e, tokens: append([]int32(nil), s.tokens...), context: s.context.Fork(), frame: s.frame, fresh: max(0, s.fresh-s.ahead), counts: s.counts, lookAhead: s.lookAhead, adapter: s.adapter, salt: s.salt}
}

// Continue samples up to n tokens after kept ++ evidence, keeps them, and
// forgets the evidence (design: one stride). It returns the sampled tokens, the
// stopping one included; an accept of nil stops at none. On an error the tokens
// sampled before it are returned and kept.
func (s *Sequence) Continue(ctx context.Context, p placement.Placement, evidence []lm.Evidence, n int, sampler lm.Sampler, accept lm.Accept) ([]int32, error) {
	if n <= 0 {
		return nil, nil
	}
	s.choosing = s.choosingFor(sampler)
	st, err := s.open(ctx, p, evidence, nil, n)
	if err != nil {
		return nil, err
	}
	defer func() { s.hold(st, p, err) }()

	text := append(make([]int32, 0, len(s.tokens)+n), s.tokens...)
	var next []int32    // what a decode encodes
	var guesses []int32 // encoded behind the last sampled token, and not yet sampled
	row := 0            // of logits
	var took time.Duration
	for {
		token := st.sample(sampler, row, text)
		text = append(text, token)
		stop := accept != nil && accept(token)
		if stop || len(text) == len(s.tokens)+n {
			break
		}
		if row < len(guesses) && guesses[row] == token {
			row++
			s.counts.Accepted++
			continue
		}
		st.retract(len(guesses) - row)
		if took > 0 {
			s.guessing.note(took, len(guesses), row)
		}
		guesses = draft(evidence, text, min(s.guesses(), len(s.tokens)+n-len(text)-1))
		row = 0
		next = append(append(next[:0], token), guesses...)
		start := time.Now()
		guesses, err = st.decode(ctx, next)
		took = time.Since(start)
		if err != nil {
			break
		}
		s.counts.Decoded++
		s.counts.Drafted += len(guesses)
	}
	st.retract(len(guesses) - row)
	sampled := text[len(s.tokens):]
	s.tokens = text
	return sampled, err
}

// Score returns the natural log-probabilities of the target tokens after
// kept ++ evidence. Nothing is kept but the KV of the context.
func (s *Sequence) Score(ctx context.Context, p placement.Placement, evidence []lm.Evidence, target []int32) ([]float64, error) {
	scores := make([]float64, 0, len(target))
	err := s.Logits(ctx, p, evidence, target, func(logits []float32) {
		scores = append(scores, float64(logits[target[len(scores)]])-sample.LogSumExp(logits))
	})
	return scores, err
}

// Logits calls row with the logits that predict each target token after kept ++
// evidence, in order; for several branches they are the logarithms of the mixed
// probabilities. The slice is only valid during the call.
func (s *Sequence) Logits(ctx context.Context, p placement.Placement, evidence []lm.Evidence, target []int32, row func(logits []float32)) error {
	return s.score(ctx, p, evidence, &scoring{target: target, row: row})
}

func (s *Sequence) score(ctx context.Context, p placement.Placement, evidence []lm.Evidence, asked *scoring) error {
	if len(asked.target) == 0 {
		return nil
	}
	st, err := s.open(ctx, p, evidence, asked, len(asked.target))
	if err != nil {
		return err
	}
	st.close()
	return nil
}

// check refuses what cannot be placed.
func (s *Sequence) check(p placement.Placement, evidence []lm.Evidence, n int) error {
	if len(s.tokens) == 0 {
		return errors.New("the text is empty: a model needs at least one token to continue from")
	}
	if p.InText() && (p.At < 0 || p.At >= len(s.tokens)) || p.Evidence == placement.BeforeTurn && p.At == 0 {
		return fmt.Errorf("evidence cannot stand at token %d of a text of %d", p.At, len(s.tokens))
	}
	if p.Evidence == placement.BeforeTurn && len(evidence) > 1 && s.e.weights.Config.Positions > 0 {
		return errors.New("later passages of a turn are virtual, and this model's learned positions have none in front of a text that begins at the first: use placement prepend")
	}
	for i, ev := range evidence {
		if len(ev.Tokens) == 0 {
			return fmt.Errorf("passage %d of the evidence is empty", i)
		}
	}
	if err := checkReserve(p, evidence); err != nil {
		return err
	}
	if need := p.Positions(len(s.tokens), lm.Lengths(evidence), n); need > s.MaxContext() {
		return fmt.Errorf("%w: text, evidence, echo and %d new tokens take %d positions and the model has %d", ErrTooLong, n, need, s.MaxContext())
	}
	return nil
}
