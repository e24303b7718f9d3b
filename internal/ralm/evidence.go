package ralm

import (
	"math"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Place turns retrieved passages, best first, into the evidence of one stride by
// the placement, passage length, marks and mixing factor of o, as Generate does.
// Passages without a token are left out.
func Place(t Tokenizer, found []retrieve.Passage, o Options) ([]Placed, []lm.Evidence) {
	var fresh tokenised
	return fresh.place(t, found, &o)
}

// place is Place with tokens that are kept.
func (c *tokenised) place(t Tokenizer, found []retrieve.Passage, o *Options) ([]Placed, []lm.Evidence) {
	var placed []Placed
	var evidence []lm.Evidence
	for _, p := range found {
		tokens := c.get(t, p, o.PassageLen)
		if len(tokens) == 0 {
			continue
		}
		if m := o.Marks; m != nil {
			tokens = append(append([]int32{m.Left}, tokens...), m.Right)
		}
		if o.Joined {
			tokens = append(tokens[:len(tokens):len(tokens)], o.Separator...)
		}
		placed = append(placed, Placed{Passage: p, Tokens: len(tokens)})
		evidence = append(evidence, lm.Evidence{Tokens: tokens})
	}
	if o.Joined && len(evidence) > 0 {
		return placed, join(evidence)
	}
	for i, w := range weights(placed, o.MixFactor) {
		evidence[i].Weight = w
		if !o.Placement.SideBySide {
			placed[i].Weight = w
		}
	}
	return placed, evidence
}

// placeTurn is place, but that a placement before the turn makes one piece of evidence of
// the first n passages there, and has the others virtual.
func (c *tokenised) placeTurn(t Tokenizer, found []retrieve.Passage, n int, o *Options) ([]Placed, []lm.Evidence) {
	if o.Placement.Evidence != placement.BeforeTurn {
		return c.place(t, found, o)
	}
	first, later := *o, *o
	first.Joined, later.Joined = true, false
	placed, evidence := c.place(t, found[:n], &first)
	if len(evidence) == 0 {
		return nil, nil
	}
	for i := range placed {
		placed[i].InTurn = true
	}
	placedLater, evidenceLater := c.place(t, found[n:], &later)
	return append(placed, placedLater...), append(evidence, evidenceLater...)
}

// join makes one piece of evidence of all.
func join(evidence []lm.Evidence) []lm.Evidence {
	var all []int32
	for _, e := range evidence {
		all = append(all, e.Tokens...)
	}
	return []lm.Evidence{{Tokens: all, Weight: 1}}
}

// weights are the branches' shares in the mixture: softmax(factor · score / best
// score). Scores that are not positive say nothing of proportions; then all
// passages weigh the same.
func weights(passages []Placed, factor float64) []float64 {
	best := math.Inf(-1)
	for _, p := range passages {
		best = max(best, p.Score)
	}
	w := make([]float64, len(passages))
	sum := 0.0
	for i, p := range passages {
		w[i] = 1
		if best > 0 && !math.IsInf(best, 1) {
			w[i] = math.Exp(factor * (p.Score/best - 1)) // the best has 1
		}
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

// tokenised keeps the tokens of passages, since a text meets the same ones again
// and again. They are known by what the model reads of them: ids are given by
// whoever made the documents, and two documents may have the same.
type tokenised map[evidenceText][]int32

type evidenceText struct {
	text   string
	length int // of the tokens at most
}

// maxTokenised bounds the passages kept: 4 MB of 512-token ones.
const maxTokenised = 2048

// get returns the tokens of a passage's evidence, tokenised alone and cut.
func (c *tokenised) get(t Tokenizer, p retrieve.Passage, length int) []int32 {
	text := p.Evidence()
	key := evidenceText{text, length}
	if tokens, ok := (*c)[key]; ok {
		return tokens
	}
	tokens := t.Encode(text)
	tokens = append([]int32(nil), tokens[:min(length, len(tokens))]...)
	if *c == nil || len(*c) == maxTokenised {
		*c = tokenised{}
	}
	(*c)[key] = tokens
	return tokens
}
