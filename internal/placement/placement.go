// Package placement holds the table of where evidence stands: the one
// difference between FlashBack, In-Context RALM, virtual evidence and no
// retrieval. Placements are data, so the engine, the loop, the oracle and the
// benchmarks have one code path each and read their columns.
//
// In the comments p is the number of context tokens, n the number of evidence
// tokens with their marks, and e' = min(echo, p-1).
package placement

import (
	"fmt"
	"slices"
	"strings"
)

// Anchor says where the positions of evidence are.
type Anchor uint8

// The anchors.
const (
	Nowhere Anchor = iota // no evidence
	AtZero                // evidence 0 … n-1, the context follows at n …
	// BeforeTurn puts the first piece of evidence into the text, at At, where a
	// conversation's turn begins, and the others as BeforeZero does.
	BeforeTurn
	AfterText  // context 0 … p-1, evidence p … p+n-1
	BeforeZero // context R … R+p-1, passage j at R-j·Apart-n_j … R-j·Apart-1; R is Reserve, else 0
)

// Sight says what an evidence token sees besides the earlier tokens of its own
// passage.
type Sight uint8

// The sights.
const (
	SeesNothing Sight = iota // itself only
	SeesContext              // the whole context
	SeesSink                 // token 0 of the context, the attention sink
)

// Placement is one row of the table.
type Placement struct {
	Name         string
	Evidence     Anchor
	EvidenceSees Sight
	// Echo is how many of the last context tokens are encoded once more behind
	// the evidence (at most p-1 of them are).
	Echo int
	// EchoInPlace puts the echo at the positions of the tokens it repeats,
	// p-e' …, and hides their first copies from the tail: the last tokens of the
	// context are read again with the evidence in sight. The last one always is,
	// since it predicts. Otherwise the tail starts at p+n and sees the first copies too.
	EchoInPlace bool
	// SideBySide puts several passages in one view, none seeing the others.
	// Otherwise each passage gets a branch and the branches' next-token
	// probabilities are mixed.
	SideBySide bool
	// Apart is, for BeforeZero only, how many positions there are from the end of a
	// passage to that of the next worse one, which stands further in front: passage j,
	// from 0, the best first, is at -j·Apart-n_j … -j·Apart-1. At 0 all end together, as
	// they always do in front of a reserve.
	Apart int
	// At is, for AtZero and BeforeTurn only, how many context tokens stand before the
	// evidence in the text: 0 in the paper; chat puts evidence into the user's message.
	At int
	// Reserve is, for BeforeZero and Nowhere only, at which position the context starts. A
	// model with learned positions has none below 0, so virtual evidence stands at Reserve-n
	// … Reserve-1. Without evidence it shows what starting there costs.
	Reserve int
}

// DefaultReserve holds a passage of 128 tokens and its marks.
const DefaultReserve = 130

// For returns the placement for a model: with learned positions it starts the context of
// virtual evidence at the reserve, unless it says where itself, otherwise at 0.
func (p Placement) For(learned bool, reserve int) Placement {
	switch {
	case !learned || p.Evidence != BeforeZero && p.Evidence != Nowhere:
		p.Reserve = 0
		return p
	case p.Reserve == 0 && p.Evidence == BeforeZero:
		p.Reserve = reserve
	}
	p.Apart = 0 // all its passages end in front of the text
	return p
}

// InText tells whether evidence stands within the text, at At.
func (p Placement) InText() bool { return p.Evidence == AtZero || p.Evidence == BeforeTurn }

// The placements of any text.
var (
	None    = Placement{Name: "none"}
	Prepend = Placement{Name: "prepend", Evidence: AtZero}
	Append  = Placement{Name: "append", Evidence: AfterText, EvidenceSees: SeesContext}
	Virtual = Placement{Name: "virtual", Evidence: BeforeZero, EvidenceSees: SeesSink, Echo: 1, EchoInPlace: true, SideBySide: true}
)

// InTurn is for chats only: the passages of a turn's first look-up are one piece of
// evidence before the turn, as if pasted into it, and what stands behind them has been
// read in their sight for as long as the turn lasts. Later passages are virtual.
var InTurn = Placement{Name: "in-turn", Evidence: BeforeTurn, EvidenceSees: SeesSink, Echo: 1, EchoInPlace: true, SideBySide: true}

// All lists the placements in the order in which tables show them.
var All = []Placement{Virtual, Append, Prepend, None}

// Parse returns the placement of that name.
func Parse(name string) (Placement, error) { return parse(name, All) }

// ParseChat returns the placement of that name, those of chats among them.
func ParseChat(name string) (Placement, error) { return parse(name, append(slices.Clone(All), InTurn)) }

func parse(name string, among []Placement) (Placement, error) {
	var names []string
	for _, p := range among {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Placement{}, fmt.Errorf("unknown placement %q: use one of %s", name, strings.Join(names, ", "))
}

// AnswerApart is how far passages stand apart where an untuned model answers from
// several (docs/answers.md): where all end together, it confuses them.
const AnswerApart = 256

// maxApart bounds Apart, far above what any model has positions for.
const maxApart = 1 << 20

// WithApart returns the placement with passages so many positions apart. Only
// virtual ones can be.
func (p Placement) WithApart(n int) (Placement, error) {
	switch {
	case n < 0 || n > maxApart:
		return p, fmt.Errorf("passages %d positions apart: it must be between 0 and %d", n, maxApart)
	case n > 0 && p.Evidence != BeforeZero && p.Evidence != BeforeTurn:
		return p, fmt.Errorf("passages %d positions apart: only virtual ones can be, and the placement is %s", n, p.Name)
	}
	p.Apart = n
	return p, nil
}

// WithReserve returns the placement with the context starting at a position of models with
// learned ones. Only virtual evidence, and a text without any, can stand behind a reserve.
func (p Placement) WithReserve(n int) (Placement, error) {
	switch {
	case n < 0:
		return p, fmt.Errorf("a reserve of %d positions: must not be negative", n)
	case n > 0 && p.Evidence != BeforeZero && p.Evidence != Nowhere:
		return p, fmt.Errorf("a reserve of %d positions: placement %s starts its text at 0", n, p.Name)
	}
	p.Reserve = n
	return p, nil
}

// WithEcho returns the placement with another echo: a length, or Turn. Append takes
// any, virtual at least its last context token; the others have no evidence to echo
// behind.
func (p Placement) WithEcho(echo int) (Placement, error) {
	switch {
	case echo < 0 && echo != Turn:
		return p, fmt.Errorf("echo %d: must not be negative", echo)
	case p.Evidence == BeforeTurn && echo != p.Echo:
		return p, fmt.Errorf("echo %s: placement %s reads the turn in sight of its passages as it is", Echo(echo), p.Name)
	case p.EchoInPlace && echo == 0:
		return p, fmt.Errorf("echo %d: placement %s repeats at least the last context token", echo, p.Name)
	case p.Evidence != AfterText && !p.EchoInPlace && echo != p.Echo:
		return p, fmt.Errorf("echo %s: placement %s takes none, append and virtual do", Echo(echo), p.Name)
	}
	p.Echo = echo
	return p, nil
}
