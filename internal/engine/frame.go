package engine

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// frame is what the positions of a text are counted from and turned by. Keys and values
// of one frame are of no use in another.
type frame struct {
	start int  // position of the first token
	long  bool // the frequencies are those of long texts
}

// frameOf returns the frame of a stride after the text. When scoring, what is scored
// counts as text, as it does where all is computed at once; what will be sampled does not.
func (s *Sequence) frameOf(p placement.Placement, evidence []lm.Evidence, scored int) frame {
	need := p.Positions(len(s.tokens), lm.Lengths(evidence), max(0, scored-1))
	return frame{start: p.Reserve, long: s.e.weights.Config.Long(need)}
}

// settle begins the text anew where its frame changes.
func (s *Sequence) settle(f frame) {
	if s.frame != f {
		s.forgetReading()
		s.context.Release()
		s.context = s.e.pool.NewSpan(f.start)
		s.frame, s.ahead = f, 0
	}
}

// checkReserve refuses evidence that does not fit in front of a text whose positions were
// learned.
func checkReserve(p placement.Placement, evidence []lm.Evidence) error {
	for _, n := range lm.Lengths(evidence) {
		if p.Reserve > 0 && n > p.Reserve {
			return fmt.Errorf("a passage of %d tokens does not fit the %d positions that are kept free in front of the text: shorten passages, or raise the reserve", n, p.Reserve)
		}
	}
	return nil
}
