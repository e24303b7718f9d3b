package engine

import "context"

// Encode computes the KV of the kept text ahead of the next stride, which then has
// less to do: all of it but the last token, which no stride finds encoded. It
// changes neither what is sampled nor what is counted.
func (s *Sequence) Encode(ctx context.Context) error {
	if s.context.Len() == 0 && s.e.weights.Config.Positions > 0 {
		return nil // where the text starts is the first stride's choice
	}
	s.begin(len(s.tokens) - 1)
	from, to := s.context.Len(), len(s.tokens)-1
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
