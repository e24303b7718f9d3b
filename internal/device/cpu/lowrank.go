package cpu

// LowRank is a low-rank update of a product: Out [rows, Width] += Scale · x·Aᵀ·Bᵀ.
type LowRank struct {
	Out             []float32
	Rank, In, Width int
	A               []float32 // [Rank, In]
	BT              []float32 // [Rank, Width], B transposed
	Scale           float32
}

// lowRankRows is how many rows a unit of an update has.
const lowRankRows = 16

type lowRankTask struct {
	d       *Device
	x       []float32
	rows    int
	updates [3]LowRank
	n       int
}

// AddLowRank adds up to three updates of the same x [rows, In]. An output takes the
// terms of its update in the order of the ranks, whatever rows stand beside it.
func (d *Device) AddLowRank(x []float32, rows int, updates ...LowRank) {
	t := &d.lowRank
	t.d, t.x, t.rows = d, x, rows
	t.n = copy(t.updates[:], updates)
	units := ceil(rows, lowRankRows) * t.n
	if rows > inlineRows {
		d.pool.run(t, units)
	} else {
		for u := range units {
			t.run(0, u)
		}
	}
	t.x = nil
	clear(t.updates[:])
}

func (t *lowRankTask) run(worker, unit int) {
	u := &t.updates[unit%t.n]
	first := unit / t.n * lowRankRows
	n := min(lowRankRows, t.rows-first)
	k := t.d.kernels
	low := grow(&t.d.scratch[worker].low, n*u.Rank)
	k.MatMul(low, u.Rank, t.x[first*u.In:], u.In, u.A, u.In, n, u.Rank, u.In)
	k.Scale(low, u.Scale)
	k.Accumulate(u.Out[first*u.Width:], u.Width, low, u.Rank, u.BT, u.Width, n, u.Rank, u.Width)
}
