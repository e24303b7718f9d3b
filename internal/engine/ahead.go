package engine

import "context"

// Encode computes the KV of the first n tokens of the kept text ahead of the next
// stride, which then has less to do; the last token no stride finds encoded. It changes
// neither what is sampled nor what is counted, if the next stride has them all in its
// context.
func (s *Sequence) Encode(ctx context.Context, n int) error {
	if s.context.Len() == 0 && s.e.weights.Config.Positions > 0 {
		return nil // where the text starts is the first stride's choice
	}
	to := min(n, len(s.tokens)-1)
	s.begin(to)
	from := s.context.Len()
	if from >= to {
		return nil
	}
	f := &s.fw
	f.segments = append(f.segments[:0], segment{tokens: s.tokens[from:to], into: s.context, adapter: s.adapterOf(s.context), long: s.frame.long, logitsFrom: to - from})
	f.samples, f.decodes, f.drafts = false, false, 0
	err := s.forward(ctx)
	if err == nil {
		s.ahead += to - from
	}
	return err
}
