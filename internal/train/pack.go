package train

import (
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/examples"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// Packed is one training sequence: the context of a window once, and a branch for
// each stride, seen as the placement's row says. Rows that no branch shares stand
// alone, so the losses and gradients are the sums of those of the strides.
type Packed struct {
	tokens    []int32
	positions []int         // of the rotary angles; virtual evidence has negative ones
	segments  []cpu.Segment // cover the rows in order
	context   int           // first rows, which see no evidence and which the strides share
	targets   []prediction
}

// prediction is a token whose loss counts.
type prediction struct {
	row   int // predicts it
	token int32
}

// Tokens returns the number of rows that are computed.
func (p *Packed) Tokens() int { return len(p.tokens) }

// Targets returns the number of tokens whose loss counts.
func (p *Packed) Targets() int { return len(p.targets) }

// Pack lays out the strides of a window: for each up to k passages, bounded by
// marks unless those are nil, and that many target tokens. A stride without a
// passage is none's, and so is one whose context has a single token.
func Pack(w examples.Window, p placement.Placement, k int, marks *ralm.Marks, target int) (*Packed, error) {
	fail := func(format string, args ...any) (*Packed, error) {
		return nil, fmt.Errorf("window of document %q: %s", w.Document, fmt.Sprintf(format, args...))
	}
	switch {
	case target < 1:
		return fail("%d target tokens a stride: at least 1", target)
	case len(w.Strides) == 0:
		return fail("no stride to train on")
	case p.Evidence != placement.Nowhere && k < 1:
		return fail("%d passages a stride: placement %s needs at least 1", k, p.Name)
	case p.Evidence != placement.Nowhere && k > 1 && !p.SideBySide:
		return fail("%d passages a stride: placement %s gives each a branch, and is trained with 1", k, p.Name)
	case p.At != 0:
		return fail("evidence behind token %d of the context: it is trained at 0 only", p.At)
	}
	for i, s := range w.Strides {
		if s.Context < 1 || s.Context > len(w.Tokens)-target {
			return fail("stride %d has a context of %d and %d target tokens, and the window %d tokens", i, s.Context, target, len(w.Tokens))
		}
	}
	l := layout{window: w, placement: p, target: target, kept: map[string]cpu.Run{}}
	for _, s := range w.Strides {
		l.context = max(l.context, l.needs(s))
	}
	if l.context > 0 {
		l.add(w.Tokens[:l.context], 0)
	}
	l.packed.context = l.context
	for _, s := range w.Strides {
		l.stride(s, k, marks)
	}
	return &l.packed, nil
}

// layout writes a packed sequence.
type layout struct {
	packed    Packed
	window    examples.Window
	placement placement.Placement
	target    int
	context   int
	kept      map[string]cpu.Run // evidence that sees only the sink, by tokens
}

// plain reports whether the stride is none's.
func (l *layout) plain(s examples.Stride) bool {
	return l.placement.Evidence == placement.Nowhere || s.Context < 2 || !slices.ContainsFunc(s.Passages, hasTokens)
}

func hasTokens(p examples.Passage) bool { return len(p.Tokens) > 0 }

// needs returns how many rows of the shared context the stride sees.
func (l *layout) needs(s examples.Stride) int {
	switch {
	case l.plain(s):
		return s.Context + l.target - 1
	case l.placement.Evidence == placement.AtZero:
		return 0
	case l.placement.EchoInPlace:
		return s.Context - l.echo(s)
	}
	return s.Context
}

func (l *layout) echo(s examples.Stride) int { return min(l.placement.Echo, s.Context-1) }

// stride adds the branch of one stride. The row of the placement table is in
// package placement.
func (l *layout) stride(s examples.Stride, k int, marks *ralm.Marks) {
	p, text := l.placement, l.window.Tokens
	target := text[s.Context : s.Context+l.target]
	if l.plain(s) {
		l.predict(s.Context-1, target)
		return
	}
	var seen []cpu.Run
	if n := l.needs(s); n > 0 {
		seen = append(seen, cpu.Run{From: 0, To: n})
	}
	n := 0
	for _, passage := range s.Passages {
		if !hasTokens(passage) {
			continue
		}
		tokens := bounded(passage.Tokens, marks)
		seen = append(seen, l.evidence(s, tokens))
		n += len(tokens)
		if k--; k == 0 {
			break
		}
	}
	tail, start := text[s.Context-l.echo(s):s.Context], s.Context+n
	switch {
	case p.Evidence == placement.AtZero:
		tail, start = text[:s.Context], n
	case p.EchoInPlace:
		start = s.Context - l.echo(s)
	}
	last := seen[len(seen)-1].To - 1 // predicts the target where there is no tail
	if own := l.add(slices.Concat(tail, target[:l.target-1]), start, seen...); len(tail) > 0 {
		last = own.From + len(tail) - 1
	} else {
		l.predict(last, target[:1])
		last, target = own.From, target[1:]
	}
	l.predict(last, target)
}

// bounded returns the tokens between the marks, if any.
func bounded(tokens []int32, marks *ralm.Marks) []int32 {
	if marks == nil {
		return tokens
	}
	return slices.Concat([]int32{marks.Left}, tokens, []int32{marks.Right})
}

// evidence adds a passage. One that sees no more than the sink has the same keys
// and values in every stride, and is computed once.
func (l *layout) evidence(s examples.Stride, tokens []int32) cpu.Run {
	switch l.placement.EvidenceSees {
	case placement.SeesContext:
		return l.add(tokens, s.Context, cpu.Run{From: 0, To: s.Context})
	case placement.SeesSink:
		key := fmt.Sprint(tokens)
		run, ok := l.kept[key]
		if !ok {
			run = l.add(tokens, -len(tokens), cpu.Run{From: 0, To: 1})
			l.kept[key] = run
		}
		return run
	}
	return l.add(tokens, 0)
}

// add appends rows at the positions from start on. They see the runs, and then
// those before them in their own.
func (l *layout) add(tokens []int32, start int, seen ...cpu.Run) cpu.Run {
	p := &l.packed
	first := len(p.tokens)
	p.tokens = append(p.tokens, tokens...)
	for i := range tokens {
		p.positions = append(p.positions, start+i)
	}
	if len(tokens) > 0 {
		p.segments = append(p.segments, cpu.Segment{First: first, Count: len(tokens), Sees: seen})
	}
	return cpu.Run{From: first, To: first + len(tokens)}
}

// predict lets the rows from the given one on predict the tokens.
func (l *layout) predict(row int, tokens []int32) {
	for i, t := range tokens {
		l.packed.targets = append(l.packed.targets, prediction{row + i, t})
	}
}
