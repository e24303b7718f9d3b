package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Sequence is a text that a peer continues. It keeps tokens; what the peer keeps of their
// keys and values is the peer's affair. It is not safe for concurrent use.
type Sequence struct {
	e      *Engine
	tokens []int32
	fresh  int // appended tokens that no stride has counted yet
	counts lm.Counts
	salt   string
	slot   *int

	unending bool
}

// NewSequence returns an empty sequence.
func (e *Engine) NewSequence() *Sequence { return &Sequence{e: e} }

// Close ends the sequence; the peer forgets its text when it needs the room.
func (s *Sequence) Close() {}

// Len returns the number of kept tokens.
func (s *Sequence) Len() int { return len(s.tokens) }

// Tokens returns the kept tokens, to be read only.
func (s *Sequence) Tokens() []int32 { return s.tokens }

// Counts returns what the peer has computed, as it told.
func (s *Sequence) Counts() lm.Counts { return s.counts }

// MaxContext returns the longest sequence that the peer takes.
func (s *Sequence) MaxContext() int { return s.e.Context }

// SetSalt keeps what the peer caches of this text apart, where it can.
func (s *Sequence) SetSalt(salt string) { s.salt = salt }

// Unending has the peer write on behind the tokens that it takes for ends.
func (s *Sequence) Unending(on bool) { s.unending = on }

// Append adds tokens to the kept text.
func (s *Sequence) Append(tokens ...int32) error {
	if n := len(s.tokens) + len(tokens); n > s.MaxContext() {
		return fmt.Errorf("%w: the text has %d tokens and %s takes %d: shorten it, or start that with a longer context", lm.ErrTooLong, n, s.e, s.MaxContext())
	}
	for _, t := range tokens {
		if err := s.e.has(t); err != nil {
			return err
		}
	}
	s.tokens = append(s.tokens, tokens...)
	s.fresh += len(tokens)
	return nil
}

// has refuses a token that the peer does not have, such as an adapter's mark.
func (e *Engine) has(token int32) error {
	if token < 0 || int(token) >= e.Vocab {
		return fmt.Errorf("token %d: %w: %s has %d tokens; merge an adapter with marks into the model that it runs", token, ErrUnsupported, e, e.Vocab)
	}
	return nil
}

// Truncate keeps the first n tokens only.
func (s *Sequence) Truncate(n int) {
	if n < len(s.tokens) {
		s.fresh = max(0, s.fresh-(len(s.tokens)-n))
		s.tokens = s.tokens[:n]
	}
}

// Fork returns a sequence with the same text.
func (s *Sequence) Fork() *Sequence {
	f := *s
	f.tokens = slices.Clone(s.tokens)
	return &f
}

// Encode does nothing: a peer encodes what it is asked to continue.
func (s *Sequence) Encode(context.Context, int) error { return nil }

// Continue has the peer sample up to n tokens behind kept ++ evidence and keeps them. On
// an error the tokens sampled before it are returned and kept.
func (s *Sequence) Continue(ctx context.Context, p placement.Placement, evidence []lm.Evidence, n int, sampler lm.Sampler, accept lm.Accept) ([]int32, error) {
	if n <= 0 {
		return nil, nil
	}
	prompt, at, shown, err := s.prompt(p, evidence, n)
	if err != nil {
		return nil, err
	}
	r := &request{prompt: prompt, n: n, sampling: sampler.Options(), salt: s.salt, slot: s.slot, unending: s.unending}
	length, had := len(prompt), len(s.tokens)
	u, err := s.e.complete(ctx, r, func(token int32) bool {
		s.tokens = append(s.tokens, token)
		return accept != nil && accept(token)
	})
	s.slot = r.slot
	sampled := s.tokens[had:]
	if err == nil && len(sampled) == 0 {
		err = s.e.failed(errors.New("it wrote nothing"))
	}
	if err == nil || len(sampled) > 0 {
		s.count(u, length, had, at, shown, len(sampled))
	}
	return slices.Clone(sampled), err
}

// prompt lays the text out with its evidence: it returns the tokens that the peer is
// sent, and where among them how many of evidence stand.
func (s *Sequence) prompt(p placement.Placement, evidence []lm.Evidence, n int) (tokens []int32, at, shown int, err error) {
	if len(s.tokens) == 0 {
		return nil, 0, 0, errors.New("the text is empty: a model needs at least one token to continue from")
	}
	if p.InText() && p.At >= len(s.tokens) {
		return nil, 0, 0, fmt.Errorf("evidence cannot stand at token %d of a text of %d", p.At, len(s.tokens))
	}
	l := p.Layout(len(s.tokens), lm.Lengths(evidence))
	if err := Check(p, len(l.Passages)); err != nil {
		return nil, 0, 0, fmt.Errorf("%s: %w", s.e, err)
	}
	tokens = slices.Clone(s.tokens[:l.Context])
	if len(l.Passages) > 0 {
		for _, t := range evidence[0].Tokens {
			if err := s.e.has(t); err != nil {
				return nil, 0, 0, err
			}
		}
		tokens = append(tokens, evidence[0].Tokens...)
		shown = len(evidence[0].Tokens)
	}
	tokens = append(tokens, s.tokens[l.Branches[0].Tail:]...)
	if need := len(tokens) + n; need > s.MaxContext() {
		return nil, 0, 0, fmt.Errorf("%w: text, evidence, echo and %d new tokens take %d positions and %s has %d", lm.ErrTooLong, n, need, s.e, s.MaxContext())
	}
	return tokens, l.Context, shown, nil
}

// Check refuses a placement of so many pieces of evidence that no prompt of tokens alone
// can say. The error is ErrUnsupported.
func Check(p placement.Placement, pieces int) error {
	switch {
	case p.Evidence == placement.BeforeZero || p.Evidence == placement.BeforeTurn:
		return fmt.Errorf("placement %s: %w: its evidence stands at positions of its own; use prepend or append", p.Name, ErrUnsupported)
	case pieces > 1:
		return fmt.Errorf("%d passages in placement %s: %w: each would be a branch, whose probabilities are mixed; use one passage", pieces, p.Name, ErrUnsupported)
	}
	return nil
}

// count counts a stride: sent tokens, of which shown are evidence at a place among them,
// behind a text of had.
func (s *Sequence) count(u usage, sent, had, at, shown, sampled int) {
	reused := min(max(0, u.cached-at), shown) // of the evidence
	text := u.cached - reused
	before := had - s.fresh
	fresh := min(max(0, text-before), s.fresh) // of the new text
	s.counts.PromptReused += fresh
	s.counts.Prompt += s.fresh - fresh
	s.counts.Prefilled += sent - u.cached - (s.fresh - fresh)
	s.counts.Reused += text - fresh
	s.counts.Evidence += shown
	s.counts.EvidenceReused += reused
	s.counts.Decoded += max(0, sampled-1)
	s.fresh = 0
}
