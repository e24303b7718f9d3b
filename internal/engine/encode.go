package engine

import (
	"errors"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/model"
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
	w.turn.Lock()
	defer w.turn.Unlock()
	cfg := w.weights.Config
	half := cfg.HeadDim / 2
	rows := 0
	w.rows, w.adapted = w.rows[:0], w.adapted[:0]
	for i := range chunk {
		p := &chunk[i]
		w.embed(w.act.X[rows*cfg.Hidden:], p)
		w.adapt(p, rows)
		for i := range p.count {
			at := (rows + i) * half
			w.rope.Angles(w.cos[at:at+half], w.sin[at:at+half], p.into.Start()+p.entry+i)
		}
		w.rows = append(w.rows, cpu.Rows{First: rows, Count: p.count, View: p.view, Self: p.into, SelfFirst: p.entry})
		rows += p.count
	}
	b := nn.Batch{Tokens: rows, Shape: w.shape, Cos: w.cos, Sin: w.sin, KV: w.kv, Rows: w.rows, Adapted: w.adapted}
	for l := range w.blocks {
		if !wanted() {
			return errDeserted
		}
		w.blocks[l].Forward(w.dev, l, &b, w.act)
	}
	return w.emit(chunk, wanted)
}

// headRow is a row of a chunk whose logits a segment asked for.
type headRow struct {
	*segment
	token int // of the segment
	row   int // of the chunk
}

// emit computes the logits that the chunk's segments want. Rows of all segments go
// through the output head together, so that its weights are read once for headRows
// of them.
func (w *workspace) emit(chunk []piece, wanted func() bool) error {
	hidden, vocab := w.weights.Config.Hidden, w.weights.Config.Vocab
	w.toHead = w.toHead[:0]
	first := 0
	for _, p := range chunk {
		for token := max(p.from, p.logitsFrom); token < p.from+p.count; token++ {
			w.toHead = append(w.toHead, headRow{p.segment, token, first + token - p.from})
		}
		first += p.count
	}
	for rest := w.toHead; len(rest) > 0; {
		if !wanted() {
			return errDeserted
		}
		n := min(headRows, len(rest))
		for i, row := range rest[:n] {
			copy(w.headIn[i*hidden:(i+1)*hidden], w.act.X[row.row*hidden:])
		}
		if len(w.logits) < n*vocab {
			w.logits = make([]float32, n*vocab)
		}
		w.head.Forward(w.dev, w.logits, w.headIn, n)
		for i, row := range rest[:n] {
			row.emit(row.token, w.logits[i*vocab:(i+1)*vocab:(i+1)*vocab])
		}
		rest = rest[n:]
	}
	return nil
}

// embed writes the embeddings of a piece's tokens to x.
func (w *workspace) embed(x []float32, p *piece) {
	tokens, hidden := p.tokens[p.from:p.from+p.count], w.weights.Config.Hidden
	if p.adapter == nil {
		w.dev.Embed(x, w.weights.Tensors[model.Embedding], tokens)
		return
	}
	for i, t := range tokens {
		if row := p.adapter.rows[t]; row != nil {
			copy(x[i*hidden:(i+1)*hidden], row)
		} else {
			w.dev.Embed(x[i*hidden:], w.weights.Tensors[model.Embedding], tokens[i:i+1])
		}
	}
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
