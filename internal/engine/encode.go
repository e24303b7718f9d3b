package engine

import (
	"errors"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/nn"
)

// piece is the part of a segment that is in one chunk.
type piece struct {
	*segment
	from, count int // tokens of the segment
	entry       int // of the span, that token from is written to
}

// errDeserted says that nobody wants a chunk any more.
var errDeserted = errors.New("nobody wants it")

// encode runs one chunk of rows through the model, as long as anybody wants it.
func (w *workspace) encode(chunk []piece, wanted func() bool) error {
	w.wanted, w.adapted = wanted, w.adapted[:0]
	in := &w.in
	in.Tokens, in.Positions, in.Rows, in.Wanted, in.Choices = in.Tokens[:0], in.Positions[:0], in.Rows[:0], in.Wanted[:0], in.Choices[:0]
	for i := range chunk {
		p := &chunk[i]
		first := len(in.Tokens)
		w.adapt(p, first)
		in.Rows = append(in.Rows, device.Rows{First: first, Count: p.count, View: p.view, Self: p.into, SelfFirst: p.entry})
		for i, token := range p.tokens[p.from : p.from+p.count] {
			w.place(first+i, p.into.Start()+p.entry+i, p.long)
			if own := p.embedding(token); own != nil {
				w.act.Embedded.Write(first+i, own)
				token = -1
			}
			in.Tokens = append(in.Tokens, token)
		}
	}
	in.Repeats = len(w.adapted) == 0
	if err := w.device.Forward(in, w.blocks); err != nil {
		return err
	}
	return w.emit(chunk)
}

// place says at which position a row stands.
func (w *workspace) place(row, position int, long bool) {
	w.in.Positions = append(w.in.Positions, int32(position+w.weights.Config.PositionOffset))
	ropes := w.ropes
	if long {
		ropes = w.longRopes
	}
	for i := range ropes {
		cos, sin := ropes[i].Angles(position)
		w.turns[i].Cos.Write(row, cos)
		w.turns[i].Sin.Write(row, sin)
	}
}

// runBlocks are the operations from tokens to the last residual stream.
func (w *workspace) runBlocks(d device.Ops) error {
	w.loaded.Input.Forward(d, w.act, len(w.in.Tokens))
	b := nn.Batch{Tokens: len(w.in.Tokens), Turns: w.turns, Adapted: w.adapted}
	for l := range w.loaded.Blocks {
		if !w.wanted() {
			return errDeserted
		}
		w.loaded.Blocks[l].Forward(d, l, &b, w.act)
	}
	return nil
}

// runHead are the operations from rows of the residual stream to their logits.
func (w *workspace) runHead(d device.Ops) error {
	d.Gather(w.headIn, w.act.X)
	head := &w.loaded.Head
	if w.ownHead != nil {
		head = w.ownHead
	}
	head.Forward(d, w.act, w.logits, w.headIn, len(w.in.Wanted))
	if len(w.in.Choices) > 0 {
		d.(device.ChoosingOps).Choose(w.logits)
	}
	return nil
}

// headRow is a row of a chunk whose logits a segment asked for.
type headRow struct {
	*segment
	token int // of the segment
	row   int // of the chunk
}

// emit computes the logits that the chunk's segments want. Rows of all segments go
// through the output head together, so that its weights are read once for headRows
// of them; those of an adapter with a head of its own go through that.
func (w *workspace) emit(chunk []piece) error {
	w.toHead = w.toHead[:0]
	first := 0
	for _, p := range chunk {
		for token := max(p.from, p.logitsFrom); token < p.from+p.count; token++ {
			w.toHead = append(w.toHead, headRow{p.segment, token, first + token - p.from})
		}
		first += p.count
	}
	in := &w.in
	in.Tokens, in.Rows = in.Tokens[:0], in.Rows[:0]
	for rest := w.toHead; len(rest) > 0; {
		if !w.wanted() {
			return errDeserted
		}
		n := min(headRows, len(rest))
		w.ownHead = rest[0].head()
		in.Repeats = w.ownHead == nil
		for i, row := range rest[:n] {
			if row.head() != w.ownHead {
				n = i
				break
			}
		}
		in.Wanted, in.Choices = in.Wanted[:0], in.Choices[:0]
		chooses := false
		for _, row := range rest[:n] {
			in.Wanted = append(in.Wanted, row.row)
			in.Choices = append(in.Choices, row.choose.of(row.token-row.logitsFrom))
			chooses = chooses || row.choose != nil
		}
		if !chooses {
			in.Choices = in.Choices[:0]
		}
		if err := w.device.Forward(in, w.head); err != nil {
			return err
		}
		for i, row := range rest[:n] {
			if row.choose != nil {
				token, finite := w.chooser.Chosen(i)
				if !finite {
					row.failed = ErrNotFinite
				}
				row.choose.tokens = append(row.choose.tokens, token)
				continue
			}
			logits := w.logits.Read(i, 1)
			if err := checkLogits(logits); err != nil {
				row.failed = err
				continue
			}
			row.emit(row.token, logits)
		}
		rest = rest[n:]
	}
	return nil
}

// adapt notes which rows of the chunk an adapter changes; runs of one adapter that
// touch are one.
func (w *workspace) adapt(p *piece, first int) {
	if p.adapter == nil {
		return
	}
	if n := len(w.adapted); n > 0 {
		last := &w.adapted[n-1]
		if last.Adapter == p.adapter.updates && last.First+last.Count == first {
			last.Count += p.count
			return
		}
	}
	w.adapted = append(w.adapted, nn.Adapted{First: first, Count: p.count, Adapter: p.adapter.updates})
}
