package oracle

import (
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/placement"
)

// flat is one sequence with a position for each token and a dense mask.
type flat struct {
	tokens    []int32
	positions []int
	sees      [][]bool // [tokens][size]: row sees column
	context   []bool   // whether a token is of the plain context, and not of evidence or what follows it
	virtual   []run    // virtual evidence
	long      bool     // positions turn by the frequencies of long texts
	size      int      // at least the number of tokens
}

// run is a stretch of a flat sequence, its tokens from … to-1.
type run struct{ from, to int }

// first returns the first n tokens of the run.
func (r run) first(n int) run { return run{r.from, r.from + n} }

// flatten writes the row of the placement table that p is. The last len(target)
// tokens of the result are those whose logits predict the target.
func flatten(p placement.Placement, text []int32, evidence [][]int32, target []int32) (*flat, error) {
	start := p.Reserve
	if len(evidence) == 0 || len(text) < 2 {
		p, evidence = placement.None, nil
	}
	if len(evidence) > 1 && !p.SideBySide {
		return nil, fmt.Errorf("oracle: %d passages in one sequence, and %s gives each a branch", len(evidence), p.Name)
	}
	if p.InText() && (p.At < 0 || p.At >= len(text)) || p.Evidence == placement.BeforeTurn && p.At == 0 {
		return nil, fmt.Errorf("oracle: evidence cannot stand at token %d of a text of %d", p.At, len(text))
	}
	n := 0
	for _, passage := range evidence {
		n += len(passage)
	}
	echo := max(0, min(p.Echo, len(text)-1))
	f := &flat{size: len(text) + n + echo + len(target)} // enough for every row
	sampled := target[:len(target)-1]                    // nothing is predicted from the last one

	switch p.Evidence {
	case placement.Nowhere:
		context := f.add(text, start)
		f.add(sampled, start+len(text), context)
		f.mark(len(f.tokens))

	case placement.AtZero:
		before := f.add(text[:p.At], 0)
		f.mark(p.At)
		passage := f.add(evidence[0], p.At, before)
		behind := f.add(text[p.At:], p.At+n, before, passage)
		f.add(sampled, len(text)+n, before, passage, behind)

	case placement.BeforeTurn:
		before := f.add(text[:p.At], 0)
		f.mark(p.At)
		first := f.add(evidence[0], p.At, before)
		behind := p.At + len(evidence[0])
		if len(evidence) == 1 {
			turn := f.add(text[p.At:], behind, before, first)
			f.add(sampled, len(text)+n, before, first, turn)
			break
		}
		last := len(text) - 1
		seen := []run{before, first, f.add(text[p.At:last], behind, before, first)}
		for j, passage := range evidence[1:] {
			later := f.add(passage, -j*p.Apart-len(passage), before.first(1))
			seen, f.virtual = append(seen, later), append(f.virtual, later)
		}
		f.add(append([]int32{text[last]}, sampled...), behind+last-p.At, seen...)

	default:
		context := f.add(text, start)
		f.mark(len(text))
		// The tail: the echo, and what is sampled.
		tail, at, seen := append(append([]int32(nil), text[len(text)-echo:]...), sampled...), len(text)+n, []run{context}
		if p.EchoInPlace {
			at, seen = start+len(text)-echo, []run{context.first(len(text) - echo)}
		}
		for j, passage := range evidence {
			at, sees := len(text), run{}
			if p.Evidence == placement.BeforeZero {
				at = p.Reserve - j*p.Apart - len(passage)
			}
			switch p.EvidenceSees {
			case placement.SeesContext:
				sees = context
			case placement.SeesSink:
				sees = context.first(1)
			}
			seen = append(seen, f.add(passage, at, sees))
			if p.Evidence == placement.BeforeZero {
				f.virtual = append(f.virtual, seen[len(seen)-1])
			}
		}
		f.add(tail, at, seen...)
	}
	return f, nil
}

// mark says that the first n tokens are of the plain context.
func (f *flat) mark(n int) {
	f.context = make([]bool, f.size)
	for i := range n {
		f.context[i] = true
	}
}

// add appends tokens at the positions from start on. Each sees the given runs,
// those before it in its own run, and itself.
func (f *flat) add(tokens []int32, start int, seen ...run) run {
	r := run{len(f.tokens), len(f.tokens) + len(tokens)}
	for i, t := range tokens {
		f.tokens = append(f.tokens, t)
		f.positions = append(f.positions, start+i)
		row := make([]bool, f.size)
		for _, s := range append(seen, run{r.from, r.from + i + 1}) {
			for column := s.from; column < s.to; column++ {
				row[column] = true
			}
		}
		f.sees = append(f.sees, row)
	}
	return r
}

// within returns the mask of a layer whose tokens see n positions: what stands n or more
// before a token is hidden from it, but virtual evidence, if that is exempt, not from those
// that read it. 0 is all.
func (f *flat) within(n int, exempt bool) [][]bool {
	if n == 0 {
		return f.sees
	}
	mask := make([][]bool, len(f.sees))
	for i, row := range f.sees {
		mask[i] = slices.Clone(row)
		for j := range f.tokens {
			if f.positions[i]-f.positions[j] < n {
				continue
			}
			beside := false
			for _, p := range f.virtual {
				inside := func(token int) bool { return token >= p.from && token < p.to }
				beside = beside || inside(j) && !inside(i)
			}
			mask[i][j] = row[j] && beside && exempt
		}
	}
	return mask
}
