package eval

import (
	"math"
	"math/rand/v2"
	"slices"
)

// resamples is how often windows are drawn for an interval: its ends then differ
// from those of endless drawing by far less than from each other.
const resamples = 10_000

// Estimate is a figure with its 95 % bootstrap interval over windows.
type Estimate struct{ Value, Low, High float64 }

// RowResult is a row of the table.
type RowResult struct {
	Row           Row
	Tokens, Words int
	Token, Word   Estimate // perplexities; by word means the same text's surprise shared out among its words
}

// Difference compares two rows on the same windows.
type Difference struct {
	A, B Row
	// Relative is A's perplexity by token as a part of B's, less 1. Its interval
	// comes of drawing both rows' windows together: what all windows share
	// between the rows, such as how hard they are, does not widen it.
	Relative Estimate
	Lower    int // windows on which A's perplexity is the lower one
}

// Result is what the complete windows say.
type Result struct {
	Windows     int
	Rows        []RowResult
	Differences []Difference
}

// Summarise adds the windows up that are complete for all rows. Differences are
// those of the pairs, whose rows must be among rows.
func Summarise(log *Log, rows []Row, windows []Window, pairs []Pair) Result {
	windows = log.Complete(rows, windows)
	result := Result{Windows: len(windows)}
	if len(windows) == 0 {
		return result
	}
	sums := map[Row][]sum{}
	for _, r := range rows {
		of := make([]sum, len(windows))
		for i, w := range windows {
			s, _ := log.Score(r, w)
			of[i] = s.sum()
		}
		sums[r] = of
		total := add(of)
		result.Rows = append(result.Rows, RowResult{
			Row: r, Tokens: total.tokens, Words: total.words,
			Token: bootstrap(len(of), func(draw []int) float64 { return drawn(of, draw).perToken() }),
			Word:  bootstrap(len(of), func(draw []int) float64 { return drawn(of, draw).perWord() }),
		})
	}
	for _, p := range pairs {
		a, b := sums[p.A], sums[p.B]
		d := Difference{A: p.A, B: p.B, Relative: bootstrap(len(a), func(draw []int) float64 {
			return drawn(a, draw).perToken()/drawn(b, draw).perToken() - 1
		})}
		for i := range a {
			if a[i].perToken() < b[i].perToken() {
				d.Lower++
			}
		}
		result.Differences = append(result.Differences, d)
	}
	return result
}

// sum is a window's surprise, in nats, and what it is shared out among.
type sum struct {
	nats          float64
	tokens, words int
}

func (s Score) sum() sum {
	var total sum
	for _, st := range s.Strides {
		for _, v := range st.LogProbs {
			total.nats -= v
		}
		total.tokens += len(st.LogProbs)
		total.words += st.Words
	}
	return total
}

func (s sum) perToken() float64 { return math.Exp(s.nats / float64(s.tokens)) }
func (s sum) perWord() float64  { return math.Exp(s.nats / float64(s.words)) }

func (s *sum) add(o sum) {
	s.nats += o.nats
	s.tokens += o.tokens
	s.words += o.words
}

func add(windows []sum) (total sum) {
	for _, w := range windows {
		total.add(w)
	}
	return total
}

func drawn(windows []sum, draw []int) (total sum) {
	for _, i := range draw {
		total.add(windows[i])
	}
	return total
}

// bootstrap returns a statistic of n windows, drawn once each, and the 2.5 and
// 97.5 % quantiles of it over n windows drawn with replacement. The draws are the
// same for every call with the same n.
func bootstrap(n int, statistic func(draw []int) float64) Estimate {
	draw := make([]int, n)
	for i := range draw {
		draw[i] = i
	}
	e := Estimate{Value: statistic(draw)}
	random := rand.New(rand.NewPCG(1, 0))
	values := make([]float64, resamples)
	for k := range values {
		for i := range draw {
			draw[i] = random.IntN(n)
		}
		values[k] = statistic(draw)
	}
	slices.Sort(values)
	e.Low, e.High = quantile(values, 0.025), quantile(values, 0.975)
	return e
}

// quantile interpolates between the sorted values that stand next to it.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
