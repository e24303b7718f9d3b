package bench

import (
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
	evidence := s.Passages * s.Evidence
	echo := min(p.Echo, s.Context-1)
	if !p.SideBySide {
		echo *= s.Passages // every branch has its own
	}
	c := lm.Counts{Decoded: s.Sampled - 1, Evidence: evidence}
	switch p.Evidence {
	case placement.Nowhere:
		// The last token of the stride before is the first row to decode.
		return lm.Counts{Decoded: s.Sampled, Reused: s.Context - 1}
	case placement.AtZero:
		c.Prefilled = evidence + s.Passages*s.Context
		return c
	}
	c.Reused = s.Context - s.Sampled
	c.Prefilled = s.Sampled + echo
	if s.keeps(p) {
		c.EvidenceReused = evidence
	} else {
		c.Prefilled += evidence
	}
	return c
}

// keeps tells whether the passages' KV is kept: only evidence that sees no more
// than the sink can be.
func (s Stride) keeps(p placement.Placement) bool {
	return s.Warm && p.EvidenceSees == placement.SeesSink
}
