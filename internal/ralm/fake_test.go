package ralm_test

import (
	"context"
	"slices"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// bytes is a tokenizer whose tokens are bytes; those from 256 on have no text.
type bytes struct{}

const (
	eos  = 256
	left = 257 + iota
	right
	sink
	vocabulary
)

func (bytes) Encode(text string) []int32 {
	var tokens []int32
	for _, b := range []byte(text) {
		tokens = append(tokens, int32(b))
	}
	return tokens
}

func (bytes) Decode(tokens []int32) string {
	var text []byte
	for _, t := range tokens {
		if t < 256 {
			text = append(text, byte(t))
		}
	}
	return string(text)
}

// call is what a sequence was given in one stride.
type call struct {
	placement placement.Placement
	context   []int32
	evidence  []lm.Evidence
	n         int
	sampled   []int32
}

// script is a sequence that stores the tokens it keeps, and whose model writes a
// given text, token by token, whatever it is given.
type script struct {
	tokens []int32
	next   []int32
	limit  int // of the context
	counts lm.Counts
	calls  []call
	encode func(context.Context) error // what Encode does; nil: nothing
}

func newScript(text string, more ...int32) *script {
	return &script{next: append(bytes{}.Encode(text), more...), limit: 1000}
}

func (s *script) Len() int          { return len(s.tokens) }
func (s *script) Tokens() []int32   { return s.tokens }
func (s *script) Counts() lm.Counts { return s.counts }
func (s *script) MaxContext() int   { return s.limit }

func (s *script) Append(tokens ...int32) error {
	s.tokens = append(s.tokens, tokens...)
	s.counts.Prompt += len(tokens)
	return nil
}

func (s *script) Encode(ctx context.Context, _ int) error {
	if s.encode == nil {
		return nil
	}
	return s.encode(ctx)
}

func (s *script) Continue(ctx context.Context, p placement.Placement, evidence []lm.Evidence, n int, sampler lm.Sampler, accept lm.Accept) ([]int32, error) {
	c := call{placement: p, context: slices.Clone(s.tokens), evidence: evidence, n: n}
	for len(c.sampled) < n {
		if err := ctx.Err(); err != nil {
			return c.sampled, err
		}
		token := sampler.Sample(s.logits(), s.tokens)
		stop := accept(token)
		s.tokens = append(s.tokens, token)
		c.sampled = append(c.sampled, token)
		s.counts.Decoded++
		if stop {
			break
		}
	}
	s.calls = append(s.calls, c)
	return c.sampled, nil
}

// logits prefers the next token of the script.
func (s *script) logits() []float32 {
	logits := make([]float32, vocabulary)
	for i := range logits {
		logits[i] = .5
	}
	logits[s.next[0]] = 1
	s.next = s.next[1:]
	return logits
}

// shelf is a retriever that answers every query alike and remembers them.
type shelf struct {
	passages []retrieve.Passage
	queries  []retrieve.Query
	err      error
}

func (s *shelf) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	s.queries = append(s.queries, q)
	return s.passages[:min(q.K, len(s.passages))], s.err
}
