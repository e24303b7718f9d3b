package engine

import (
	"context"
	"slices"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// stride is one stride of a sequence: its evidence beside the context and the
// tail behind it.
type stride struct {
	s        *Sequence
	evidence []lm.Evidence
	layout   placement.Layout
	branches []branch
	kept     []*keptSpan     // evidence shared with other strides
	own      []*kvcache.Span // spans that end with the stride
	plain    int             // kept tokens; scored targets behind them are dropped
	// The first passage and what was read in its sight, where it stands before the turn.
	first   kvcache.Part
	turn    *kvcache.Span
	resumed bool      // it goes on with the spans of the stride before
	mixed   []float32 // of several branches

	// Kept from one decode to the next, so that decoding allocates nothing.
	rows    [][]float32 // what is mixed
	weights []float64
}

// branch is one view and the tail that sees it. Placements that put passages
// side by side have one branch, the others one a passage.
type branch struct {
	view   []kvcache.Part
	tail   *kvcache.Span // echo, then sampled tokens; the context itself without evidence
	weight float64
	logits []float32 // [rows, vocabulary] of the last forward
	emit   func(row int, logits []float32)
}

// scoring asks for the logits of given tokens instead of sampled ones.
type scoring struct {
	target  []int32
	row     func(logits []float32)
	sampled bool // the target is what a stride has sampled
}

// scored returns how many tokens count as text that is given; of a stride that is
// recomputed they are as if sampled.
func (s *scoring) scored() int {
	if s == nil || s.sampled {
		return 0
	}
	return len(s.target)
}

// plan is what a stride encodes before its first token: segments in an order in
// which each sees only earlier ones.
type plan struct {
	segments []segment
	keep     []keeping
}

// keeping says that a segment's span is worth keeping under a key.
type keeping struct {
	key  keptKey
	span *kvcache.Span
}

// open encodes what is new in one forward: text that is not encoded yet, the
// evidence, the echo and, when scoring, the target. Which spans there are, where
// they stand and what sees them are the columns of the placement.
func (s *Sequence) open(ctx context.Context, p placement.Placement, evidence []lm.Evidence, score *scoring, n int) (*stride, error) {
	p = s.e.Place(p)
	if len(evidence) == 0 || len(s.tokens) < 2 {
		reserve := p.Reserve
		p, evidence = placement.None, nil
		p.Reserve = reserve // the text stays where it is
	}
	if err := s.check(p, evidence, n); err != nil {
		return nil, err
	}
	s.settle(s.frameOf(p, evidence, score.scored()))
	var st *stride
	var pl *plan
	l := p.Layout(len(s.tokens), lm.Lengths(evidence))
	if score == nil {
		st, pl = s.resume(p, l, evidence)
	}
	reused, kept := 0, s.counts.EvidenceReused
	switch {
	case st == nil:
		st = &stride{s: s, plain: -1}
		plain := min(l.Context, len(s.tokens)-1)
		reused = max(0, min(s.context.Len()-s.ahead, plain))
		s.begin(plain) // what stands behind it has the KV of no plain text
		pl = st.plan(p, l, evidence, score)
	case pl == nil: // only the turn goes on
		reused = l.Context + st.turn.Len()
		s.counts.EvidenceReused += st.first.Len
		pl = st.plan(p, l, evidence, score)
	default:
		reused = len(s.tokens) - len(pl.segments[0].tokens)
		s.counts.EvidenceReused += lm.Total(evidence)
	}
	for i := range pl.segments {
		pl.segments[i].adapter, pl.segments[i].long = s.adapterOf(pl.segments[i].into), s.frame.long
	}
	if s.e.tamper != nil {
		s.e.tamper(st, pl)
	}
	if choosing := st.choosing(); choosing != nil && score == nil {
		for i := range pl.segments {
			if pl.segments[i].emit != nil {
				pl.segments[i].choose = choosing
			}
		}
	}
	rows := 0
	for _, sg := range pl.segments {
		rows += len(sg.tokens)
	}
	f := &s.fw
	f.segments = append(f.segments[:0], pl.segments...)
	f.samples, f.decodes, f.drafts = score == nil, false, 0
	if err := s.forward(ctx); err != nil {
		st.close()
		s.counts.EvidenceReused = kept // of evidence that was placed
		return nil, err
	}
	for _, k := range pl.keep {
		st.keep(k)
	}
	switch {
	case score == nil:
		st.count(p, evidence, rows, reused)
	case len(st.branches) > 1:
		for i := range score.target {
			score.row(st.mix(i))
		}
	}
	return st, nil
}

// plan makes the spans of the layout and lists what is to be encoded.
func (st *stride) plan(p placement.Placement, l placement.Layout, evidence []lm.Evidence, score *scoring) *plan {
	s := st.s
	st.evidence, st.layout = evidence, l
	pl := &plan{}
	if len(l.Passages) == 0 {
		st.branches = []branch{{tail: s.context, weight: 1}}
		// The logits come from the last token, so at least that one is encoded.
		s.context.Truncate(l.Context - 1)
		if score != nil {
			st.plain = l.Context
		}
		st.follow(pl, s.tokens[s.context.Len():], score)
		return pl
	}
	if from := s.context.Len(); from < l.Context {
		pl.segments = append(pl.segments, segment{tokens: s.tokens[from:l.Context], into: s.context, logitsFrom: l.Context})
	}
	for _, at := range l.Branches {
		b := branch{weight: 1, view: []kvcache.Part{s.context.Prefix(at.Sees)}}
		if !p.SideBySide {
			b.weight = evidence[at.From].Weight
		}
		for i := at.From; i < at.To; i++ {
			b.view = append(b.view, st.place(p, pl, l.Passages[i], evidence[i].Tokens))
		}
		from := at.Tail
		switch {
		case p.Evidence != placement.BeforeTurn:
			b.tail = s.e.pool.NewSpan(at.Start)
			st.own = append(st.own, b.tail)
		case l.Turn.From == l.Turn.To: // the turn goes on
			b.tail = st.inTurn(at.Start)
			from += b.tail.Len()
		default:
			turn := st.inTurn(l.Turn.Start)
			if news := s.tokens[l.Turn.From+turn.Len() : l.Turn.To]; len(news) > 0 {
				pl.segments = append(pl.segments, segment{tokens: news, view: slices.Clone(b.view[:2]), into: turn, logitsFrom: len(news)})
			}
			b.view = append(b.view, turn.Prefix(l.Turn.To-l.Turn.From))
			b.tail = s.e.pool.NewSpan(at.Start)
			st.own = append(st.own, b.tail)
		}
		st.branches = append(st.branches, b)
		st.follow(pl, s.tokens[from:], score)
	}
	return pl
}

// inTurn returns the span of what was read in sight of the first passage; a new one
// starts at the position.
func (st *stride) inTurn(start int) *kvcache.Span {
	if st.turn == nil {
		st.turn = st.s.e.pool.NewSpan(start)
		st.own = append(st.own, st.turn)
	}
	return st.turn
}

// follow plans the tail of the last branch, with the scored target behind it. The
// tail's last token predicts the first new one; without a tail, the last token of
// the evidence does.
func (st *stride) follow(pl *plan, tail []int32, score *scoring) {
	nth := len(st.branches) - 1
	b := &st.branches[nth]
	b.emit = st.emit(nth, score)
	var target []int32
	if score != nil {
		target = score.target[:len(score.target)-1]
	}
	from := len(tail) - 1
	if len(tail) == 0 {
		last := &pl.segments[len(pl.segments)-1]
		last.logitsFrom, last.emit = len(last.tokens)-1, b.emit
		if len(target) == 0 {
			return
		}
		from = 0
	}
	tokens := slices.Concat(tail, target)
	pl.segments = append(pl.segments, segment{tokens: tokens, view: b.view, into: b.tail, logitsFrom: from, emit: b.emit})
}

// place returns the span of one passage as a part, and plans its encoding
// unless it was kept.
func (st *stride) place(p placement.Placement, pl *plan, at placement.Passage, tokens []int32) kvcache.Part {
	s := st.s
	inTurn := p.Evidence == placement.BeforeTurn && at.Start >= 0
	if inTurn && st.first.Span != nil {
		return st.first
	}
	// Only evidence that sees no more than the sink has KV that others can use.
	keeps := p.EvidenceSees == placement.SeesSink && !inTurn && s.e.kept != nil
	key := s.keptKey(at.Start, tokens)
	if keeps {
		if k := s.e.kept.get(key); k != nil {
			st.kept = append(st.kept, k)
			s.counts.EvidenceReused += len(tokens)
			return kvcache.Part{Span: k.span, Len: len(tokens), Whole: s.e.weights.Config.Beside()}
		}
	}
	var view []kvcache.Part
	if at.Sees > 0 {
		view = []kvcache.Part{s.context.Prefix(at.Sees)}
	}
	span := s.e.pool.NewSpan(at.Start)
	st.own = append(st.own, span)
	if keeps {
		pl.keep = append(pl.keep, keeping{key, span})
	}
	pl.segments = append(pl.segments, segment{tokens: tokens, view: view, into: span, logitsFrom: len(tokens)})
	// Virtual evidence stands beside the text, whatever its positions say, so that windows
	// may not hide it.
	part := kvcache.Part{Span: span, Len: len(tokens), Whole: p.EvidenceSees == placement.SeesSink && !inTurn && s.e.weights.Config.Beside()}
	if inTurn {
		st.first = part
	}
	return part
}

// emit returns what takes the logits of a branch's rows: the score of a single
// branch, or else the branch itself.
func (st *stride) emit(nth int, score *scoring) func(row int, logits []float32) {
	return func(_ int, logits []float32) {
		if score != nil && len(st.branches) == 1 {
			score.row(logits)
			return
		}
		b := &st.branches[nth]
		b.logits = append(b.logits, logits...)
	}
}

// keep hands a span over to the kept ones.
func (st *stride) keep(k keeping) {
	kept := st.s.e.kept.put(k.key, k.span)
	if kept == nil {
		return
	}
	st.kept = append(st.kept, kept)
	for i, own := range st.own {
		if own == k.span {
			st.own = append(st.own[:i], st.own[i+1:]...)
			return
		}
	}
}

// count adds what was encoded, ahead of the stride too, to the sequence's counts.
func (st *stride) count(p placement.Placement, evidence []lm.Evidence, rows, reused int) {
	c := &st.s.counts
	rows += st.s.ahead
	prompt := min(rows, st.s.fresh)
	st.s.fresh, st.s.ahead = 0, 0
	c.Prompt += prompt
	if rows -= prompt; rows == len(st.branches) && (p.Evidence == placement.Nowhere || st.resumed) {
		c.Decoded++ // the last token of the stride before
	} else {
		c.Prefilled += rows
	}
	c.Reused += reused
	c.Evidence += lm.Total(evidence)
}

// logits returns the nth row of logits of the last forward, mixed where there are
// several branches.
func (st *stride) logits(nth int) []float32 {
	if len(st.branches) == 1 {
		vocab := st.s.e.weights.Config.Vocab
		return st.branches[0].logits[nth*vocab : (nth+1)*vocab]
	}
	return st.mix(nth)
}

// mix returns the mixture of the branches' nth rows of logits.
func (st *stride) mix(nth int) []float32 {
	vocab := st.s.e.weights.Config.Vocab
	if st.mixed == nil {
		st.mixed = make([]float32, vocab)
	}
	st.rows, st.weights = st.rows[:0], st.weights[:0]
	for i := range st.branches {
		b := &st.branches[i]
		st.rows, st.weights = append(st.rows, b.logits[nth*vocab:(nth+1)*vocab]), append(st.weights, b.weight)
	}
	sample.Mix(st.mixed, st.rows, st.weights)
	return st.mixed
}

// decode encodes tokens in every branch: a sampled one and a draft of those to follow.
// It returns how much of the draft was encoded.
func (st *stride) decode(ctx context.Context, tokens []int32) (draft []int32, err error) {
	f := &st.s.fw
	f.segments = f.segments[:0]
	for i := range st.branches {
		b := &st.branches[i]
		b.logits = b.logits[:0]
		f.segments = append(f.segments, segment{tokens: tokens, view: b.view, into: b.tail, adapter: st.s.adapterOf(b.tail), long: st.s.frame.long, emit: b.emit, choose: st.choosing()})
	}
	f.samples, f.decodes, f.drafts = true, true, len(tokens)-1
	if err := st.s.forward(ctx); err != nil {
		return nil, err
	}
	return tokens[1 : 1+f.drafts], nil
}

// retract drops the last n tokens from every branch's tail.
func (st *stride) retract(n int) {
	for _, b := range st.branches {
		b.tail.Truncate(b.tail.Len() - n)
	}
}

// close ends the stride and forgets the evidence and the tail.
func (st *stride) close() {
	st.s.e.batch.done(&st.s.fw)
	st.release()
	if st.plain >= 0 {
		st.s.context.Truncate(st.plain)
	}
}

// release gives back what the stride has beside the context.
func (st *stride) release() {
	for _, k := range st.kept {
		st.s.e.kept.done(k)
	}
	if len(st.kept) > 0 {
		st.s.e.pool.Idle()
	}
	for _, span := range st.own {
		span.Release()
	}
	st.kept, st.own = nil, nil
}
