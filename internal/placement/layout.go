package placement

// Layout is where the spans of one stride stand and what they see: the row of the
// table for a text and evidence of given lengths. Counts are of tokens; a tail's own
// earlier entries, and a passage's, are always seen and not listed.
type Layout struct {
	// Context is how many tokens of the text stand at Start … as plain text: all of it,
	// or those in front of prepended evidence or of an echo in place.
	Context  int
	Start    int
	Passages []Passage // none: no evidence is placed
	// Turn is text that is read in sight of the context and the first passage only, and
	// that the branch sees; none where From is To.
	Turn     TurnSpan
	Branches []Branch
}

// Passage is a span of evidence.
type Passage struct {
	Start int // position of its first token
	Sees  int // tokens of the context, from token 0
}

// TurnSpan is a span of text: its tokens From … To-1.
type TurnSpan struct {
	From, To int
	Start    int // position of its first token
}

// Branch is a view and the tail behind it.
type Branch struct {
	Sees     int // tokens of the context, from token 0
	From, To int // passages that it sees
	// Tail is the first token of the text that is encoded behind the view: those from
	// there on are the echo, or the text behind prepended evidence. Without evidence
	// there is none, and the tail goes on with the context's span.
	Tail  int
	Start int // position of the tail's first token
}

// Layout lays out a text of so many tokens and evidence of these lengths. No evidence
// is placed where there is none, and beside a text of a single token.
func (p Placement) Layout(text int, evidence []int) Layout {
	if p.Evidence == Nowhere || len(evidence) == 0 || text < 2 {
		return Layout{Context: text, Start: p.Reserve, Branches: []Branch{{Sees: text, Tail: text, Start: p.Reserve + text}}}
	}
	l := Layout{Context: text, Start: p.Reserve, Passages: make([]Passage, len(evidence))}
	switch {
	case p.InText():
		l.Context = p.At
	case p.EchoInPlace:
		l.Context = text - p.echo(text)
	}
	for i, n := range evidence {
		l.Passages[i] = p.passage(l.Context, i, n)
	}
	switch {
	case p.Evidence == BeforeTurn:
		b := Branch{Sees: p.At, To: len(evidence), Tail: p.At, Start: p.At + evidence[0]}
		if len(evidence) > 1 { // the last token is read again, in sight of them all
			l.Turn = TurnSpan{From: p.At, To: text - 1, Start: b.Start}
			b.Tail, b.Start = text-1, b.Start+text-1-p.At
		}
		l.Branches = []Branch{b}
		return l
	case p.SideBySide:
		l.Branches = []Branch{p.branch(l.Context, text, evidence, 0, len(evidence))}
		return l
	}
	for i := range evidence {
		l.Branches = append(l.Branches, p.branch(l.Context, text, evidence, i, i+1))
	}
	return l
}

// passage lays out the ith passage, of n tokens, beside a context.
func (p Placement) passage(context, i, n int) Passage {
	switch {
	case p.Evidence == BeforeTurn && i == 0:
		return Passage{Start: context, Sees: context}
	case p.Evidence == BeforeTurn:
		return Passage{Start: -(i-1)*p.Apart - n, Sees: 1}
	case p.Evidence == BeforeZero:
		return Passage{Start: p.Reserve - i*p.Apart - n, Sees: 1}
	case p.EvidenceSees == SeesContext:
		return Passage{Start: context, Sees: context}
	}
	return Passage{Start: context, Sees: p.At}
}

// branch lays out the tail behind the passages from … to-1.
func (p Placement) branch(context, text int, evidence []int, from, to int) Branch {
	b := Branch{Sees: context, From: from, To: to, Tail: text - p.echo(text), Start: context}
	switch {
	case p.EchoInPlace:
		b.Start = p.Reserve + context
		return b
	case p.Evidence == AtZero:
		b.Tail = context
	}
	for _, n := range evidence[from:to] {
		b.Start += n
	}
	return b
}

// echo returns how many tokens of a text are echoed: e'.
func (p Placement) echo(text int) int { return max(0, min(p.Echo, text-1)) }

// Positions returns how many positions a stride of n tokens takes behind a text: the
// text, the evidence, whose lengths are given, the echo unless it stands in place, and
// the tokens. Passages side by side count all, or as far as they reach in front where
// that is more; where each has a branch, the longest does. In front of a reserve they
// take no more than that.
func (p Placement) Positions(text int, evidence []int, n int) int {
	if p.Reserve > 0 {
		return p.Reserve + text + n
	}
	all, longest := 0, 0
	for i, length := range evidence {
		all += length
		if p.Evidence == BeforeTurn && i > 0 {
			length += evidence[0] - p.Apart // in front of the text, which has become longer by the first
		}
		longest = max(longest, length+i*p.Apart)
	}
	if p.SideBySide {
		longest = max(longest, all)
	}
	if !p.EchoInPlace {
		n += p.echo(text)
	}
	return text + longest + n
}
