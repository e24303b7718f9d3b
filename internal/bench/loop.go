package bench

import (
	"context"
	"slices"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Loop measures strides of the retrieval loop: each starts with exactly the
// context's tokens, the last of which were sampled by a stride before, so that
// they must be encoded again without the evidence that they saw. The rounds
// interleave the placements. The counted tokens are checked against the placement
// table. On an error the rows of the contexts that were finished are returned
// with it.
func Loop(ctx context.Context, w *model.Weights, eo engine.Options, text *Text, o LoopOptions) ([]Row, error) {
	o, err := o.Fit(w.Config.Context)
	if err != nil {
		return nil, err
	}
	tokens, err := text.Take(slices.Max(o.Contexts))
	if err != nil {
		return nil, err
	}
	most, cold := slices.Max(o.Passages), 0
	for _, k := range o.Passages {
		cold += k * o.Rounds
	}
	passages, err := text.Passages(most+cold, o.Evidence)
	if err != nil {
		return nil, err
	}
	kv, err := eo.KVFormat(w.Config)
	if err != nil {
		return nil, err
	}
	if eo.KVBudget == 0 {
		eo.KVBudget = o.kvPages(len(passages)) * kvcache.PageTokens * int64(engine.KVShape(w.Config, kv).TokenBytes())
	}
	var rows []Row
	for _, length := range o.Contexts {
		l := &loop{o: o, warm: passages[:most], cold: passages[most:]}
		if l.e, err = engine.New(w, eo); err != nil { // nothing kept from the last length
			return rows, err
		}
		measured, err := l.measure(ctx, tokens[:length])
		l.e.Close()
		if err != nil {
			return rows, err
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

// kvPages returns the pages that the longest context's strides and all kept
// passages take at most, so that no kept passage is dropped in between.
func (o LoopOptions) kvPages(passages int) int64 {
	context, k := slices.Max(o.Contexts), slices.Max(o.Passages)
	own := kvcache.Blocks(o.Evidence) + kvcache.Blocks(o.Stride) + 4
	pages := kvcache.Blocks(context) // the shared context
	pages += k * (kvcache.Blocks(context+o.Evidence+o.Stride) + own)
	pages += passages*kvcache.Blocks(o.Evidence) + len(o.Placements)*len(o.Passages)*2*own
	return int64(pages)
}

// loop measures one length of context.
type loop struct {
	o          LoopOptions
	e          *engine.Engine
	warm, cold [][]int32 // passages that unmeasured strides see, and new ones
}

// share encodes the context, once for all rows. Its last stride is sampled
// without evidence.
func (l *loop) share(ctx context.Context, tokens []int32) (*engine.Sequence, error) {
	shared := l.e.NewSequence()
	shared.LookAhead(-1) // the table counts no guesses
	err := l.adapt(shared)
	if err == nil {
		err = shared.Append(tokens[:len(tokens)-l.o.Stride]...)
	}
	if err == nil {
		_, err = shared.Continue(ctx, placement.None, nil, l.o.Stride, sample.Greedy(), nil)
	}
	if err != nil {
		shared.Close()
		return nil, err
	}
	shared.Rest()
	return shared, nil
}

// adapt gives the sequence the options' adapter, if there is one.
func (l *loop) adapt(s *engine.Sequence) error {
	if l.o.Adapter == "" {
		return nil
	}
	a, err := l.e.OpenAdapter(l.o.Adapter)
	if err != nil {
		return err
	}
	return s.SetAdapter(a)
}

func (l *loop) measure(ctx context.Context, tokens []int32) ([]Row, error) {
	shared, err := l.share(ctx, tokens)
	if err != nil {
		return nil, err
	}
	defer shared.Close()
	var rows []Row
	for i := range l.o.Passages {
		measured, err := l.rounds(ctx, shared, i)
		if err != nil {
			return nil, err
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

// rounds measures the rows with the nth number of passages in turns.
func (l *loop) rounds(ctx context.Context, shared *engine.Sequence, nth int) ([]Row, error) {
	var repeaters []*repeater
	for _, k := range l.o.kinds(nth) {
		r := newRepeater(k, l.o, shared, l.warm)
		defer r.seq.Close()
		repeaters = append(repeaters, r)
	}
	turns := [][]*repeater{repeaters}
	if l.o.Peer != nil {
		// A prompt that starts otherwise costs a peer its kept context, so
		// those that begin with the context go first.
		turns = [][]*repeater{nil, nil}
		for _, r := range repeaters {
			group := &turns[0]
			if r.placement.Evidence == placement.AtZero {
				group = &turns[1]
			}
			*group = append(*group, r)
		}
	}
	k := l.o.Passages[nth]
	for _, group := range turns {
		for round := range l.o.Rounds {
			for _, r := range group {
				fresh := l.cold[round*k:][:r.passages] // the same for all rows
				if err := l.turn(ctx, r, fresh); err != nil {
					return nil, err
				}
			}
		}
	}
	l.cold = l.cold[l.o.Rounds*k:]
	return l.rows(repeaters), nil
}

// turn measures one stride, here and on the peer.
func (l *loop) turn(ctx context.Context, r *repeater, fresh [][]int32) error {
	if err := r.rewind(ctx); err != nil {
		return err
	}
	text := slices.Clone(r.seq.Tokens())
	if err := r.measure(ctx, l.e, fresh); err != nil {
		return err
	}
	if l.o.Peer != nil && r.placement.EvidenceSees != placement.SeesSink {
		if err := r.measurePeer(ctx, l.o.Peer, text, fresh); err != nil {
			return err
		}
	}
	if l.o.Step != nil {
		l.o.Step()
	}
	return nil
}

// rows returns what was measured, each row beside those that it compares with.
func (l *loop) rows(repeaters []*repeater) []Row {
	rows := make([]Row, len(repeaters))
	prepend := 0.0
	var behind *PeerRow // the peer's append
	for i, r := range repeaters {
		rows[i] = r.row(kvcache.PageTokens * int64(l.e.KVTokenBytes()))
		if l.o.Peer != nil && len(r.peerMS) > 0 {
			rows[i].Peer = r.peerRow(l.o.Peer)
		}
		switch {
		case r.placement.Evidence == placement.AtZero:
			prepend = rows[i].MSPerToken
		case r.placement.Evidence == placement.AfterText && r.placement.Echo == 0:
			behind = rows[i].Peer
		}
	}
	for i := range rows {
		row := &rows[i]
		row.RatioToPrepend = prepend / row.MSPerToken
		if row.Peer == nil && behind != nil {
			other := *behind
			row.Peer = &other
		}
		if row.Peer != nil {
			row.Peer.Ratio = row.Peer.MSPerToken / row.MSPerToken
		}
	}
	return rows
}
