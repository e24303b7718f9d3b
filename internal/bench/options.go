package bench

import (
	"errors"
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/placement"
)

// LoopOptions say which strides Loop measures.
type LoopOptions struct {
	Placements []placement.Placement
	Contexts   []int  // kept tokens before the measured stride
	Passages   []int  // passages a stride
	Evidence   int    // tokens of a passage
	Stride     int    // tokens sampled a stride
	Rounds     int    // measurements, of which the median counts
	Step       func() // if not nil, called after each measurement
	// Peer, if not nil, is sent the same strides in turn with ours.
	Peer *Peer
	// Adapter, if not empty, is the directory of an adapter that all rows have.
	Adapter string
}

// Fit checks the options for a model whose sequences have up to limit positions.
// A context that leaves no room for its strides, up to limit itself, is cut to
// the longest that leaves it, for all rows alike, so that they compare.
func (o LoopOptions) Fit(limit int) (LoopOptions, error) {
	switch {
	case len(o.Placements) == 0 || len(o.Contexts) == 0 || len(o.Passages) == 0:
		return o, errors.New("nothing to measure: no placement, context or number of passages")
	case o.Evidence < 1 || o.Stride < 1 || o.Rounds < 1 || slices.Min(o.Passages) < 1:
		return o, errors.New("evidence, stride, rounds and passages must be at least 1")
	case slices.Max(o.Contexts) > limit:
		return o, fmt.Errorf("a context of %d tokens is longer than the model's %d positions", slices.Max(o.Contexts), limit)
	case o.Peer != nil && slices.Max(o.Passages) > 1:
		return o, errors.New("another server cannot mix passages: compare with one passage a stride")
	}
	longest := limit
	for _, p := range o.Placements {
		evidence := 0
		switch {
		case p.SideBySide:
			evidence = slices.Max(o.Passages) * o.Evidence
		case p.Evidence != placement.Nowhere:
			evidence = o.Evidence
		}
		longest = min(longest, 2*limit-p.Positions(limit, []int{evidence}, o.Stride))
	}
	if longest < o.Stride+2 {
		return o, fmt.Errorf("evidence, echo and stride leave %d of the model's %d positions to the context: give fewer or shorter passages", max(0, longest), limit)
	}
	o.Contexts = slices.Clone(o.Contexts)
	for i := range o.Contexts {
		o.Contexts[i] = min(o.Contexts[i], longest)
	}
	o.Contexts = slices.Compact(o.Contexts)
	if least := slices.Min(o.Contexts); least < o.Stride+2 {
		return o, fmt.Errorf("a context of %d tokens is too short: it ends with a stride of %d and needs two more", least, o.Stride)
	}
	return o, nil
}

// Measurements returns how often Loop calls Step.
func (o LoopOptions) Measurements() int {
	n := 0
	for i := range o.Passages {
		n += len(o.kinds(i))
	}
	return n * len(o.Contexts) * o.Rounds
}

// kind is a row before it is measured.
type kind struct {
	placement placement.Placement
	passages  int
	warm      bool
}

// evidence says whether virtual evidence is cold or warm.
func (k kind) evidence() string {
	switch {
	case k.placement.EvidenceSees != placement.SeesSink:
		return ""
	case k.warm:
		return "warm"
	}
	return "cold"
}

// kinds returns the rows with the nth number of passages. Placements without
// evidence are measured with the first one only.
func (o LoopOptions) kinds(nth int) []kind {
	var kinds []kind
	for _, p := range o.Placements {
		switch {
		case p.EvidenceSees == placement.SeesSink:
			kinds = append(kinds, kind{p, o.Passages[nth], false}, kind{p, o.Passages[nth], true})
		case p.Evidence != placement.Nowhere:
			kinds = append(kinds, kind{p, o.Passages[nth], false})
		case nth == 0:
			kinds = append(kinds, kind{p, 0, false})
		}
	}
	return kinds
}
