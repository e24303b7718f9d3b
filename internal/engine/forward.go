package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// segment is a run of tokens to encode: they go to the end of one span and see
// a view, then the entries of that span up to their own.
type segment struct {
	tokens  []int32
	view    []kvcache.Part
	into    *kvcache.Span
	adapter *Adapter // changes its rows; nil: none
	long    bool     // positions turn by the frequencies of long texts
	// The rows from logitsFrom on are passed through the output head, in order,
	// and their logits [vocabulary] given to emit, which must not keep them.
	logitsFrom int
	emit       func(row int, logits []float32)
	// choose, if not nil, is given the tokens that the device chooses of those rows instead.
	choose *choosing
	failed error // logits that are no numbers were not given to emit
}

// forward is what a sequence asks of the engine: to encode segments. A segment may
// see what earlier segments of the same forward write. A sequence has one at a time
// and uses it again, so that decoding allocates nothing.
type forward struct {
	segments []segment
	samples  bool // a token is chosen from its logits, and perhaps another forward follows soon
	decodes  bool // its segments are a sampled token each and drafts, not a prefill
	writes   bool // its sequence has chosen a token before
	drafts   int  // so many last tokens of each segment are guessed; fewer may be encoded

	ctx     context.Context
	entries []int // of the segments' spans before
	next    place // what is encoded next
	left    int   // tokens that are not encoded yet
	rows    int   // in the chunk that is being filled
	err     error
	ended   bool
	signal  chan struct{} // wakes its sequence, at the end or to lead
}

// place is a token of a segment of a forward.
type place struct{ segment, token int }

// forward encodes the segments of s.fw among those of other sequences. On an error all
// spans are as before; after a decode they end with the drafts that were encoded, whose
// number is s.fw.drafts.
func (s *Sequence) forward(ctx context.Context) error {
	f := &s.fw
	if f.signal == nil {
		f.signal = make(chan struct{}, 1)
	}
	if err := s.e.checkTokens(f.segments); err != nil {
		return err
	}
	if err := s.e.reserve(ctx, f); err != nil {
		return err
	}
	f.ctx, f.err, f.ended, f.next, f.left = ctx, nil, false, place{}, 0
	for _, sg := range f.segments {
		f.left += len(sg.tokens)
	}
	drafts := f.drafts
	s.e.batch.run(f)
	if f.err != nil {
		f.truncate(0)
		if errors.Is(f.err, ErrNotFinite) {
			return s.e.explain(f.err)
		}
		return f.err
	}
	if dropped := drafts - f.drafts; dropped > 0 {
		for _, sg := range f.segments {
			sg.into.Truncate(sg.into.Len() - dropped)
		}
	}
	return nil
}

// truncate takes the segments from the nth on out of their spans again.
func (f *forward) truncate(nth int) {
	for i := len(f.entries) - 1; i >= nth; i-- {
		f.segments[i].into.Truncate(f.entries[i])
	}
}

func (e *Engine) checkTokens(segments []segment) error {
	for _, s := range segments {
		for _, t := range s.tokens {
			if (t < 0 || int(t) >= e.weights.Config.Vocab) && s.embedding(t) == nil {
				return fmt.Errorf("token %d is not in the model's vocabulary of %d", t, e.weights.Config.Vocab)
			}
		}
	}
	return nil
}

// extend makes room for the segments in their spans, or changes nothing.
func (f *forward) extend() error {
	f.entries = f.entries[:0]
	for _, s := range f.segments {
		f.entries = append(f.entries, s.into.Len())
		if err := s.into.Extend(len(s.tokens)); err != nil {
			f.truncate(0)
			return err
		}
	}
	return nil
}

// needs returns how many pages extend takes.
func (f *forward) needs() int {
	tokens := map[*kvcache.Span]int{}
	for _, s := range f.segments {
		tokens[s.into] += len(s.tokens)
	}
	pages := 0
	for span, n := range tokens {
		pages += span.Needs(n)
	}
	return pages
}

// failed returns what was wrong with the logits of a segment, or nil.
func (f *forward) failed() error {
	for i := range f.segments {
		if err := f.segments[i].failed; err != nil {
			return err
		}
	}
	return nil
}

// cut appends the next n tokens of a prefill to the chunk, as pieces.
func (f *forward) cut(chunk []piece, n int) []piece {
	for n > 0 {
		s := &f.segments[f.next.segment]
		from := f.next.token
		count := min(n, len(s.tokens)-from)
		if count > 0 {
			chunk = append(chunk, piece{segment: s, from: from, count: count, entry: f.entries[f.next.segment] + from})
		}
		n -= count
		if f.next.token += count; f.next.token == len(s.tokens) {
			f.next = place{f.next.segment + 1, 0}
		}
	}
	return chunk
}
