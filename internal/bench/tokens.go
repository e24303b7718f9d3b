package bench

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Stride says what one stride is given.
type Stride struct {
	Context  int  // kept tokens before it, the last Sampled of them without KV
	Sampled  int  // tokens that the stride samples, and that the one before sampled
	Passages int  // passages of evidence
	Evidence int  // tokens of a passage
	Warm     bool // the passages' KV is kept, where the placement can keep it
}

// Tokens returns what the placement table says that a stride computes and
// reuses.
func (s Stride) Tokens(p placement.Placement) lm.Counts {
	l := s.layout(p)
	if len(l.Passages) == 0 {
		// The last token of the stride before is the first row to decode.
		return lm.Counts{Decoded: s.Sampled, Reused: s.Context - 1}
	}
	c := lm.Counts{Decoded: s.Sampled - 1, Evidence: s.Passages * s.Evidence}
	if p.Evidence != placement.AtZero {
		c.Reused, c.Prefilled = max(0, l.Context-s.Sampled), min(l.Context, s.Sampled)
	}
	for _, b := range l.Branches {
		c.Prefilled += s.Context - b.Tail
	}
	if s.keeps(p) {
		c.EvidenceReused = c.Evidence
	} else {
		c.Prefilled += c.Evidence
	}
	return c
}

// layout returns where the stride's spans stand.
func (s Stride) layout(p placement.Placement) placement.Layout {
	return p.Layout(s.Context, slices.Repeat([]int{s.Evidence}, s.Passages))
}

// keeps tells whether the passages' KV is kept: only evidence that sees no more
// than the sink can be.
func (s Stride) keeps(p placement.Placement) bool {
	return s.Warm && p.EvidenceSees == placement.SeesSink
}
