package cpu

import (
	"math"

	"github.com/flashback-lm/flashback/internal/device"
)

// Run is a range of rows of a batch, From … To-1.
type Run struct{ From, To int }

// Len returns the number of rows.
func (r Run) Len() int { return r.To - r.From }

// Segment is a range of rows of one flat batch: each sees the runs, which stand
// before the segment, and then the rows of the segment up to itself.
type Segment struct {
	First, Count int
	Sees         []Run
}

// Flat is the attention of one batch whose keys and values are its own rows.
type Flat struct {
	device.Attention
	Segments []Segment // cover the rows in order
	// Positions are those of the rows, and Beside says which rows no window hides from
	// other segments: virtual evidence. Attention without a window reads neither.
	Positions []int
	Beside    []bool
	// Q is [rows, Heads, HeadDim], K and V are [rows, KVHeads, HeadDim], turned to
	// their positions.
	Q, K, V []float32
	Out     []float32 // [rows, Heads, HeadDim]
	LogSum  []float32 // [rows, Heads]: the logarithm of the softmax's sum
}

// group returns the number of query heads that share a KV head.
func (f *Flat) group() int { return f.Heads / f.KVHeads }

// keys returns the keys or values of one KV head from a row on, a row every kvWidth.
func (f *Flat) keys(of []float32, row, head int) []float32 {
	return of[row*f.kvWidth()+head*f.HeadDim:]
}

func (f *Flat) kvWidth() int { return f.KVHeads * f.HeadDim }

// runs returns what the tokens first … first+count-1 of a segment see between them:
// the runs, and the segment up to the last of them.
func (s *Segment) runs(first, count int) []Run {
	return append(s.Sees[:len(s.Sees):len(s.Sees)], Run{s.First, s.First + first + count})
}

// flatTile is up to tileTokens rows of one segment.
type flatTile struct {
	segment      *Segment
	first, count int // tokens, counted from segment.First
}

// row returns the batch's row of the tile's first token.
func (t flatTile) row() int { return t.segment.First + t.first }

// tilesOf cuts the segments that start at row from or later into tiles of up to n
// tokens.
func tilesOf(segments []Segment, from, n int) []flatTile {
	var tiles []flatTile
	for i := range segments {
		s := &segments[i]
		if s.First < from {
			continue
		}
		for first := 0; first < s.Count; first += n {
			tiles = append(tiles, flatTile{s, first, min(n, s.Count-first)})
		}
	}
	return tiles
}

// gather copies a tile's rows of x [rows, Heads, HeadDim] that belong to one KV head
// to [count·group, HeadDim].
func (f *Flat) gather(to *[]float32, x []float32, t flatTile, head int) []float32 {
	width, stride := f.group()*f.HeadDim, f.Heads*f.HeadDim
	out := grow(to, t.count*width)
	for i := range t.count {
		copy(out[i*width:(i+1)*width], x[(t.row()+i)*stride+head*width:])
	}
	return out
}

// scatter is the reverse of gather.
func (f *Flat) scatter(x, from []float32, t flatTile, head int) {
	width, stride := f.group()*f.HeadDim, f.Heads*f.HeadDim
	for i := range t.count {
		copy(x[(t.row()+i)*stride+head*width:], from[i*width:(i+1)*width])
	}
}

// scale returns what is left to multiply scores by when bend has run.
func (f *Flat) scale() float32 {
	if f.SoftCap > 0 {
		return 1
	}
	return float32(f.Scale)
}

// bend does to scores [rows, ld] of a tile's rows with n keys from one on what makes
// attention other than the plain one: it caps them, and hides what is in front of windows.
// With slopes, it sets those to how a capped score follows the score.
func (f *Flat) bend(scores, slopes []float32, ld int, t flatTile, key, n int) {
	if f.SoftCap == 0 && f.Window == 0 {
		return
	}
	own, group := key >= t.segment.First, f.group()
	for i := range t.count * group {
		row := scores[i*ld:][:n]
		if f.SoftCap > 0 {
			for j, s := range row {
				tanh := math.Tanh(float64(s) * f.Scale / f.SoftCap)
				row[j] = float32(f.SoftCap * tanh)
				if slopes != nil {
					slopes[i*ld+j] = float32(1 - tanh*tanh)
				}
			}
		}
		if f.Window > 0 {
			at := f.Positions[t.row()+i/group]
			for j := range row {
				if at-f.Positions[key+j] >= f.Window && (own || !f.Beside[key+j]) {
					row[j] = float32(math.Inf(-1))
				}
			}
		}
	}
}

// AttendFlat computes f.Out and f.LogSum.
func (b *Backward) AttendFlat(f *Flat) {
	tiles := tilesOf(f.Segments, 0, tileTokens)
	b.each(len(tiles)*f.KVHeads, func(worker, unit int) {
		b.attendTile(&b.workers[worker], f, tiles[unit/f.KVHeads], unit%f.KVHeads)
	})
}

func (b *Backward) attendTile(s *backwardScratch, f *Flat, t flatTile, head int) {
	k, hd, group, stride := b.kernels, f.HeadDim, f.group(), f.kvWidth()
	rows, runs := t.count*group, t.segment.runs(t.first, t.count)
	n := 0
	for _, r := range runs {
		n += r.Len()
	}
	q := f.gather(&s.q, f.Q, t, head)
	scores := grow(&s.scores, rows*n)
	at := 0
	for _, r := range runs {
		k.MatMul(scores[at:], n, q, hd, f.keys(f.K, r.From, head), stride, rows, r.Len(), hd)
		f.bend(scores[at:], nil, n, t, r.From, r.Len())
		at += r.Len()
	}
	out := grow(&s.out, rows*hd)
	clear(out)
	for i := range rows {
		row := scores[i*n : (i+1)*n]
		see := n - t.count + 1 + i/group
		top, sum := k.Softmax(row[:see], f.scale(), float32(math.Inf(-1)))
		k.Scale(row[:see], 1/sum)
		clear(row[see:])
		f.LogSum[(t.row()+i/group)*f.Heads+head*group+i%group] = top + float32(math.Log(float64(sum)))
	}
	at = 0
	for _, r := range runs {
		k.Accumulate(out, hd, scores[at:], n, f.keys(f.V, r.From, head), stride, rows, r.Len(), hd)
		at += r.Len()
	}
	f.scatter(f.Out, out, t, head)
}

// Sizes of AttendBackward.
const (
	chunkTokens = 256 // whose gradients of keys and values are summed apart
	keyBlock    = 64  // keys that a tile meets at once
)

// flatChunk is up to chunkTokens rows of one segment, with what they see that has a
// gradient. A KV head's gradients of those keys, and then of the values, are
// [keys, HeadDim] each.
type flatChunk struct {
	flatTile
	runs []Run
	keys int // in all runs
	part int // where its partial gradients start
}

// AttendBackward sets dQ, dK and dV to the gradients of f.Q, f.K and f.V, given that
// of f.Out. Rows before from, where a segment starts, are constants: their gradients
// are left alone, and they see no later row.
func (b *Backward) AttendBackward(f *Flat, dQ, dK, dV, dOut []float32, from int) {
	heads, hd, stride := f.KVHeads, f.HeadDim, f.kvWidth()
	var chunks []flatChunk
	size, rows := 0, from
	for _, t := range tilesOf(f.Segments, from, chunkTokens) {
		c := flatChunk{flatTile: t, part: size}
		for _, r := range t.segment.runs(t.first, t.count) {
			if r.From >= from {
				c.runs = append(c.runs, r)
				c.keys += r.Len()
			}
		}
		size += heads * c.keys * hd * 2
		rows = t.row() + t.count
		chunks = append(chunks, c)
	}
	parts := grow(&b.parts, size)
	b.each(len(chunks)*heads, func(worker, unit int) {
		c, head := chunks[unit/heads], unit%heads
		part := parts[c.part+head*c.keys*hd*2:][:c.keys*hd*2]
		clear(part)
		for first := 0; first < c.count; first += tileTokens {
			t := flatTile{c.segment, c.first + first, min(tileTokens, c.count-first)}
			b.attendTileBackward(&b.workers[worker], f, t, head, dQ, dOut, part[:c.keys*hd], part[c.keys*hd:], from)
		}
	})
	blocks := ceil(rows-from, keyBlock)
	b.each(blocks*heads, func(_, unit int) {
		head, first := unit/blocks, from+unit%blocks*keyBlock
		block := Run{first, min(rows, first+keyBlock)}
		for r := block.From; r < block.To; r++ {
			clear(dK[r*stride+head*hd:][:hd])
			clear(dV[r*stride+head*hd:][:hd])
		}
		for i := range chunks {
			c := &chunks[i]
			part := parts[c.part+head*c.keys*hd*2:]
			at := 0
			for _, run := range c.runs {
				for r := max(run.From, block.From); r < min(run.To, block.To); r++ {
					of := (at + r - run.From) * hd
					b.kernels.Add(dK[r*stride+head*hd:][:hd], part[of:])
					b.kernels.Add(dV[r*stride+head*hd:][:hd], part[c.keys*hd+of:])
				}
				at += run.Len()
			}
		}
	})
}

// attendTileBackward sets the tile's rows of dQ and adds to dK and dV [keys, HeadDim].
func (b *Backward) attendTileBackward(s *backwardScratch, f *Flat, t flatTile, head int, dQ, dOut, dK, dV []float32, from int) {
	k, hd, group, stride := b.kernels, f.HeadDim, f.group(), f.kvWidth()
	rows := t.count * group
	tile := backwardTile{rows: rows, group: group, scale: float32(f.Scale)}
	q, out, d := f.gather(&s.q, f.Q, t, head), f.gather(&s.out, f.Out, t, head), f.gather(&s.dOut, dOut, t, head)
	dq := grow(&s.dQ, rows*hd)
	clear(dq)
	stats := grow(&s.row, 2*rows)
	tile.logSum, tile.mean = stats[:rows], stats[rows:]
	for i := range rows {
		tile.logSum[i] = f.LogSum[(t.row()+i/group)*f.Heads+head*group+i%group]
		k.MatMul(tile.mean[i:], 1, out[i*hd:], hd, d[i*hd:], hd, 1, 1, hd)
	}
	tile.p, tile.ds = grow(&s.scores, rows*keyBlock), grow(&s.slopes, rows*keyBlock)
	tile.pBack, tile.dsBack = grow(&s.scoresBack, rows*keyBlock), grow(&s.slopesBack, rows*keyBlock)
	if f.SoftCap > 0 {
		tile.bent = grow(&s.bent, rows*keyBlock)
	}
	at := 0
	for _, run := range t.segment.runs(t.first, t.count) {
		for first := run.From; first < run.To; first += keyBlock {
			n := min(keyBlock, run.To-first)
			keys, values := f.keys(f.K, first, head), f.keys(f.V, first, head)
			k.MatMul(tile.p, keyBlock, q, hd, keys, stride, rows, n, hd)
			k.MatMul(tile.ds, keyBlock, d, hd, values, stride, rows, n, hd)
			f.bend(tile.p, tile.bent, keyBlock, t, first, n)
			for i := range rows {
				see := n
				if run.From == t.segment.First {
					see = max(0, min(n, t.row()+i/group+1-first))
				}
				row := tile.p[i*keyBlock:][:n]
				if see > 0 { // every score is below the logarithm of their sum
					k.Softmax(row[:see], f.scale(), tile.logSum[i])
				}
				clear(row[see:])
			}
			tile.slopes(n)
			k.Accumulate(dq, hd, tile.ds, keyBlock, keys, stride, rows, n, hd)
			if run.From >= from {
				k.Accumulate(dK[at*hd:], hd, tile.dsBack, rows, q, hd, n, rows, hd)
				k.Accumulate(dV[at*hd:], hd, tile.pBack, rows, d, hd, n, rows, hd)
				at += n
			}
		}
	}
	f.scatter(dQ, dq, t, head)
}

// backwardTile is the softmax of a tile's rows over a block of keys.
type backwardTile struct {
	rows, group   int
	scale         float32
	logSum, mean  []float32 // [rows]; mean is Σ p · (gradient of p)
	p, ds         []float32 // [rows, keyBlock]: probabilities; their gradients, then those of the scores
	pBack, dsBack []float32 // [keyBlock, rows], the transposed
	bent          []float32 // [rows, keyBlock]: how capped scores follow scores; nil: they are not capped
}

// slopes turns gradients of n probabilities a row into those of the scores, and
// transposes.
func (t *backwardTile) slopes(n int) {
	for i := range t.rows {
		p, ds, mean := t.p[i*keyBlock:][:n], t.ds[i*keyBlock:][:n], t.mean[i]
		at := i
		for j, v := range p {
			d := v * (ds[j] - mean) * t.scale
			if t.bent != nil {
				d *= t.bent[i*keyBlock+j]
			}
			ds[j] = d
			t.pBack[at], t.dsBack[at] = v, d
			at += t.rows
		}
	}
}
