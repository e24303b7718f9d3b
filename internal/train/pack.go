package train

import (
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/trainset"
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
func Pack(w trainset.Window, p placement.Placement, k int, marks *ralm.Marks, target int) (*Packed, error) {
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
	pk := packer{window: w, placement: p, target: target, kept: map[string]cpu.Run{}}
	strides := make([]stride, len(w.Strides))
	for i, s := range w.Strides {
		strides[i] = pk.place(s, k, marks)
		pk.packed.context = max(pk.packed.context, pk.needs(strides[i]))
	}
	if n := pk.packed.context; n > 0 {
		pk.add(w.Tokens[:n], p.Reserve)
	}
	for _, s := range strides {
		pk.stride(s)
	}
	return &pk.packed, nil
}

// packer writes a packed sequence.
type packer struct {
	packed    Packed
	window    trainset.Window
	placement placement.Placement
	target    int
	kept      map[string]cpu.Run // evidence that sees only the sink, by tokens
}

// stride is a stride of the window as it is placed.
type stride struct {
	text     int       // tokens of the window before it
	evidence [][]int32 // marks included
	layout   placement.Layout
}

// place lays a stride out: its first k passages that have tokens.
func (pk *packer) place(s trainset.Stride, k int, marks *ralm.Marks) stride {
	placed := stride{text: s.Context}
	var lengths []int
	for _, passage := range s.Passages {
		if len(passage.Tokens) > 0 && len(lengths) < k {
			tokens := bounded(passage.Tokens, marks)
			placed.evidence, lengths = append(placed.evidence, tokens), append(lengths, len(tokens))
		}
	}
	placed.layout = pk.placement.Layout(s.Context, lengths)
	return placed
}

// needs returns how many rows of the shared context the stride sees.
func (pk *packer) needs(s stride) int {
	n := 0
	for _, passage := range s.layout.Passages {
		n = max(n, passage.Sees)
	}
	for _, b := range s.layout.Branches {
		n = max(n, b.Sees)
	}
	if len(s.layout.Passages) == 0 {
		n += pk.target - 1 // they go on with the context
	}
	return n
}

// stride adds the branch of one stride.
func (pk *packer) stride(s stride) {
	text := pk.window.Tokens
	target := text[s.text : s.text+pk.target]
	if len(s.layout.Passages) == 0 {
		pk.predict(s.text-1, target)
		return
	}
	b := s.layout.Branches[0] // with several, Pack has refused
	seen := shared(b.Sees)
	for i, passage := range s.layout.Passages {
		seen = append(seen, pk.evidence(passage, s.evidence[i]))
	}
	last := seen[len(seen)-1].To - 1 // predicts the target where there is no tail
	tail := text[b.Tail:s.text]
	if own := pk.add(slices.Concat(tail, target[:pk.target-1]), b.Start, seen...); len(tail) > 0 {
		last = own.From + len(tail) - 1
	} else {
		pk.predict(last, target[:1])
		last, target = own.From, target[1:]
	}
	pk.predict(last, target)
}

// shared returns the first n rows as what is seen.
func shared(n int) []cpu.Run {
	if n == 0 {
		return nil
	}
	return []cpu.Run{{From: 0, To: n}}
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
func (pk *packer) evidence(at placement.Passage, tokens []int32) cpu.Run {
	if pk.placement.EvidenceSees != placement.SeesSink {
		return pk.add(tokens, at.Start, shared(at.Sees)...)
	}
	key := fmt.Sprint(at.Start, tokens)
	run, ok := pk.kept[key]
	if !ok {
		run = pk.add(tokens, at.Start, shared(at.Sees)...)
		pk.kept[key] = run
	}
	return run
}

// add appends rows at the positions from start on. They see the runs, and then
// those before them in their own.
func (pk *packer) add(tokens []int32, start int, seen ...cpu.Run) cpu.Run {
	p := &pk.packed
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
func (pk *packer) predict(row int, tokens []int32) {
	for i, t := range tokens {
		pk.packed.targets = append(pk.packed.targets, prediction{row + i, t})
	}
}
