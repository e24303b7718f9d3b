package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// card is a device behind the door that is as unlike the CPU as can be: memory of its
// own, buffers that nobody may touch during a forward, keys and values token by token,
// and forwards that are recorded, run afterwards, and where they repeat run again from
// the record. Its arithmetic is plain.
type card struct {
	t        *testing.T
	mu       sync.Mutex
	recorded int
	replayed int
}

type (
	cardMatrix  [][]float32
	cardVector  []float32
	cardFactors struct {
		a, b []float32
		rank int
		by   float32
	}
	cardBuffer struct {
		w     *cardWorkspace
		width int
		data  []float32
	}
	// cardKV holds keys and values [layer, head, headDim] of each token of a page.
	cardKV struct {
		shape kvcache.Shape
		pages [][kvcache.PageTokens]cardToken
	}
	cardToken     struct{ k, v []float32 }
	cardWorkspace struct {
		d       *card
		kv      *cardKV
		busy    bool
		in      *device.Input
		ops     []func()
		records map[[2]int][]func()
	}
)

func (m cardMatrix) Size() (rows, cols int) { return len(m), len(m[0]) }
func (v cardVector) Width() int             { return len(v) }
func (f *cardFactors) Size() (out, in int)  { return len(f.b) / f.rank, len(f.a) / f.rank }
func (kv *cardKV) Shape() kvcache.Shape     { return kv.shape }
func (kv *cardKV) Pages() int               { return len(kv.pages) }
func (d *card) Info() device.Info           { return device.Info{Name: "card", Memory: 1 << 30} }
func (d *card) WeightBytes() int64          { return 0 }
func (d *card) Close()                      {}
func (w *cardWorkspace) Close()             {}
func (d *card) load(m tensor.Matrix) [][]float32 {
	rows := make([][]float32, m.Rows)
	for i := range rows {
		rows[i] = make([]float32, m.Cols)
		quant.Row(rows[i], m, i)
	}
	return rows
}

func (d *card) LoadMatrix(m tensor.Matrix, _ device.Compute) (device.Matrix, error) {
	return cardMatrix(d.load(m)), nil
}

func (d *card) MatrixBytes(m tensor.Matrix, _ device.Compute) int64 {
	return 4 * int64(m.Rows) * int64(m.Cols)
}

func (d *card) LoadTable(m tensor.Matrix) (device.Table, error) { return cardMatrix(d.load(m)), nil }

func (d *card) LoadVector(m tensor.Matrix) (device.Vector, error) {
	return cardVector(d.load(m)[0]), nil
}

func (d *card) LoadFactors(a, b []float32, rank int, scale float32) (device.Factors, error) {
	return &cardFactors{slices.Clone(a), slices.Clone(b), rank, scale}, nil
}

func (d *card) NewKV(shape kvcache.Shape, pages int) (kvcache.Storage, error) {
	return &cardKV{shape, make([][kvcache.PageTokens]cardToken, pages)}, nil
}

func (kv *cardKV) Allocate(page int) {
	n := kv.shape.Layers * kv.shape.KVHeads * kv.shape.HeadDim
	for i := range kv.pages[page] {
		kv.pages[page][i] = cardToken{make([]float32, n), make([]float32, n)}
	}
}

func (kv *cardKV) Copy(to, from int) {
	for i, token := range kv.pages[from] {
		copy(kv.pages[to][i].k, token.k)
		copy(kv.pages[to][i].v, token.v)
	}
}

func (d *card) NewWorkspace(kv kvcache.Storage) (device.Workspace, error) {
	return &cardWorkspace{d: d, kv: kv.(*cardKV), records: map[[2]int][]func(){}}, nil
}

func (w *cardWorkspace) NewBuffer(rows, width int) (device.Buffer, error) {
	return &cardBuffer{w, width, make([]float32, rows*width)}, nil
}

func (b *cardBuffer) row(i int) []float32 { return b.data[i*b.width : (i+1)*b.width] }

func (b *cardBuffer) Write(row int, values []float32) {
	if b.w.busy {
		b.w.d.t.Error("a buffer was written during a forward")
	}
	copy(b.row(row), values)
}

func (b *cardBuffer) Read(row, n int) []float32 {
	if b.w.busy {
		b.w.d.t.Error("a buffer was read during a forward")
	}
	return slices.Clone(b.data[row*b.width : (row+n)*b.width])
}

func (w *cardWorkspace) Forward(in *device.Input, ops func(device.Ops) error) error {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.in, w.busy, w.ops = in, true, nil
	defer func() { w.busy = false }()
	key := [2]int{len(in.Tokens), len(in.Wanted)}
	record := w.records[key]
	if !in.Repeats || record == nil {
		if err := ops(w); err != nil {
			return err
		}
		record = w.ops
		if in.Repeats {
			w.records[key] = record
		}
		w.d.recorded++
	} else {
		w.d.replayed++
	}
	for _, op := range record {
		op()
	}
	return nil
}

func (w *cardWorkspace) do(op func()) { w.ops = append(w.ops, op) }

func (w *cardWorkspace) Embed(x device.Buffer, t device.Table) {
	w.do(func() {
		for i, token := range w.in.Tokens {
			if token >= 0 {
				copy(x.(*cardBuffer).row(i), t.(cardMatrix)[token])
			}
		}
	})
}

func (w *cardWorkspace) RMSNorm(dst, x device.Buffer, scale device.Vector, first, rows int, eps float32) {
	w.do(func() {
		n := scale.Width()
		for r := first; r < first+rows; r++ {
			from, to := x.(*cardBuffer).data[r*n:][:n], dst.(*cardBuffer).data[r*n:][:n]
			var squares float64
			for _, v := range from {
				squares += float64(v) * float64(v)
			}
			by := float32(1 / math.Sqrt(squares/float64(n)+float64(eps)))
			for i, v := range from {
				to[i] = v * by * scale.(cardVector)[i]
			}
		}
	})
}

func (w *cardWorkspace) MatMul(x device.Buffer, rows int, products []device.Product) {
	for _, p := range products {
		w.do(func() {
			for r := range rows {
				out := p.Out.(*cardBuffer).row(r)
				for j, weights := range p.W.(cardMatrix) {
					sum := dot(x.(*cardBuffer).row(r), weights)
					if p.Bias != nil {
						sum += p.Bias.(cardVector)[j]
					}
					if p.Add {
						out[j] += sum
					} else {
						out[j] = sum
					}
				}
			}
		})
	}
}

func dot(a, b []float32) float32 {
	var sum float64
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return float32(sum)
}

func (w *cardWorkspace) Activate(f device.Activation, gate, up device.Buffer, rows int) {
	w.each(gate, rows, func(i int, v float64) float64 {
		switch f {
		case device.SiLU:
			v /= 1 + math.Exp(-v)
		case device.GELUTanh:
			v *= (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))) / 2
		case device.ReLU:
			v = max(v, 0)
		}
		if up != nil {
			v *= float64(up.(*cardBuffer).data[i])
		}
		return v
	})
}

// each replaces every number of rows of x.
func (w *cardWorkspace) each(x device.Buffer, rows int, f func(i int, v float64) float64) {
	w.do(func() {
		b := x.(*cardBuffer)
		for i, v := range b.data[:rows*b.width] {
			b.data[i] = float32(f(i, float64(v)))
		}
	})
}

func (w *cardWorkspace) Add(x, y device.Buffer, rows int) {
	w.each(x, rows, func(i int, v float64) float64 { return v + float64(y.(*cardBuffer).data[i]) })
}

func (w *cardWorkspace) Scale(x device.Buffer, rows int, by float32) {
	w.each(x, rows, func(_ int, v float64) float64 { return v * float64(by) })
}

func (w *cardWorkspace) SoftCap(x device.Buffer, rows int, most float32) {
	w.each(x, rows, func(_ int, v float64) float64 { return float64(most) * math.Tanh(v/float64(most)) })
}

func (w *cardWorkspace) AddPositions(x device.Buffer, t device.Table) {
	w.do(func() {
		for i, p := range w.in.Positions[:len(w.in.Tokens)] {
			for j, v := range t.(cardMatrix)[p] {
				x.(*cardBuffer).row(i)[j] += v
			}
		}
	})
}

func (w *cardWorkspace) LayerNorm(dst, x device.Buffer, scale, bias device.Vector, first, rows int, eps float32) {
	w.do(func() {
		for r := first; r < first+rows; r++ {
			from, to := x.(*cardBuffer).row(r), dst.(*cardBuffer).row(r)
			n := float64(len(from))
			var sum, squares float64
			for _, v := range from {
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
			by := 1 / math.Sqrt(squares/n-sum/n*sum/n+float64(eps))
			for i, v := range from {
				to[i] = float32((float64(v)-sum/n)*by)*scale.(cardVector)[i] + bias.(cardVector)[i]
			}
		}
	})
}

func (w *cardWorkspace) FeedForward(f device.Activation, x device.Buffer, rows int, gate, up, down device.Product) {
	w.MatMul(x, rows, []device.Product{gate, up})
	w.Activate(f, gate.Out, up.Out, rows)
	w.MatMul(gate.Out, rows, []device.Product{down})
}

func (w *cardWorkspace) AddLowRank(x device.Buffer, first, rows int, updates []device.Update) {
	for _, u := range updates {
		f, out := u.Factors.(*cardFactors), u.Out.(*cardBuffer)
		_, in := f.Size()
		w.do(func() {
			for r := first; r < first+rows; r++ {
				low := make([]float32, f.rank)
				for i := range low {
					low[i] = f.by * dot(x.(*cardBuffer).row(r), f.a[i*in:(i+1)*in])
				}
				for j := range out.row(r) {
					out.row(r)[j] += dot(low, f.b[j*f.rank:(j+1)*f.rank])
				}
			}
		})
	}
}

func (w *cardWorkspace) Gather(dst, src device.Buffer) {
	w.do(func() {
		for i, row := range w.in.Wanted {
			copy(dst.(*cardBuffer).row(i), src.(*cardBuffer).row(row))
		}
	})
}

func (w *cardWorkspace) Attend(out, q, k, v device.Buffer, turn device.Rotation, layer int, a *device.Attention) {
	w.do(func() {
		hd := a.HeadDim
		at := layer * a.KVHeads * hd
		token := func(s *kvcache.Span, entry int) *cardToken {
			return &w.kv.pages[s.Pages()[entry/kvcache.PageTokens]][entry%kvcache.PageTokens]
		}
		for _, rows := range w.in.Rows {
			for i := range rows.Count {
				r := rows.First + i
				if turn.Cos != nil {
					cos, sin := turn.Cos.(*cardBuffer).row(r), turn.Sin.(*cardBuffer).row(r)
					rotate(q.(*cardBuffer).row(r), cos, sin, a)
					rotate(k.(*cardBuffer).row(r), cos, sin, a)
				}
				own := token(rows.Self, rows.SelfFirst+i)
				copy(own.k[at:], k.(*cardBuffer).row(r))
				copy(own.v[at:], v.(*cardBuffer).row(r))
			}
		}
		for _, rows := range w.in.Rows {
			for i := range rows.Count {
				r, self := rows.First+i, rows.SelfFirst+i
				var seen []*cardToken
				for _, p := range append(slices.Clone(rows.View), rows.Self.Prefix(self+1)) {
					first := 0
					if !p.Whole {
						first = a.First(p.Span.Start(), rows.Self.Start()+self)
					}
					for e := first; e < p.Len; e++ {
						seen = append(seen, token(p.Span, e))
					}
				}
				for h := range a.Heads {
					kv := at + h/(a.Heads/a.KVHeads)*hd
					query, result := q.(*cardBuffer).row(r)[h*hd:][:hd], make([]float64, hd)
					var sum float64
					for _, s := range seen {
						score := a.Scale * float64(dot(query, s.k[kv:kv+hd]))
						if a.SoftCap > 0 {
							score = a.SoftCap * math.Tanh(score/a.SoftCap)
						}
						p := math.Exp(score)
						sum += p
						for d := range result {
							result[d] += p * float64(s.v[kv+d])
						}
					}
					for d, x := range result {
						out.(*cardBuffer).row(r)[h*hd+d] = float32(x / sum)
					}
				}
			}
		}
	})
}

// rotate turns the pairs of every head.
func rotate(x, cos, sin []float32, a *device.Attention) {
	for ; len(x) > 0; x = x[a.HeadDim:] {
		for i, c := range cos {
			low, high := 2*i, 2*i+1
			if a.Halves {
				low, high = i, len(cos)+i
			}
			x[low], x[high] = x[low]*c-x[high]*sin[i], x[low]*sin[i]+x[high]*c
		}
	}
}

// TestDoor runs the engine on a device that shares nothing with the CPU's but the door:
// with kept keys and values as from nothing, bit for bit, and within rounding of what
// the CPU computes; with an adapter too.
func TestDoor(t *testing.T) {
	w := modeltest.Tiny(1)
	for _, p := range placement.All {
		for _, adapted := range []bool{false, true} {
			d := &card{t: t}
			opt := Options{BatchTokens: 64, KVBudget: 16 << 20}
			e, err := newEngine(w, d, Exact, KVShape(w.Config, kvcache.F32), opt)
			if err != nil {
				t.Fatal(err)
			}
			if adapted {
				a := load(t, e, adapter(false, 1))
				s := e.NewSequence()
				if err := s.SetAdapter(a); err != nil {
					t.Fatal(err)
				}
				if err := s.Append(5, 6, 7, 8, 9); err != nil {
					t.Fatal(err)
				}
				if fault := follow(t, s, a, p, marked(rand.New(rand.NewPCG(1, 1)), 35)); fault != "" {
					t.Errorf("%s: %s", p.Name, fault)
				}
				s.Close()
			} else {
				steps := generate(t, e, p, 1, 80, 3)
				if fault := firstDifference(t, e, p, steps); fault != "" {
					t.Errorf("%s: %s", p.Name, fault)
				}
				if d.replayed < d.recorded {
					t.Errorf("%s: %d forwards were recorded and only %d replayed", p.Name, d.recorded, d.replayed)
				}
				near(t, p, steps)
			}
			e.Close()
		}
	}
}

// near compares the logits of a generation with the CPU's.
func near(t *testing.T, p placement.Placement, steps []step) {
	t.Helper()
	cpu := newTiny(t, Options{Compute: Exact})
	for _, st := range steps {
		rows, err := cpu.Recompute(context.Background(), p, st.text, st.evidence, st.sampled)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			for j, want := range row {
				if got := st.logits[i][j]; math.Abs(float64(got-want)) > 2e-4*max(1, math.Abs(float64(want))) {
					t.Fatalf("%s: token %d, logit %d is %v, the CPU's %v", p.Name, i, j, got, want)
				}
			}
		}
	}
}
