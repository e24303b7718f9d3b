package eval

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// near compares with values worked out by hand: only rounding is allowed for.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{[]float64{3}, 0.3, 3},
		{[]float64{1, 2}, 0.5, 1.5},
		{[]float64{1, 2, 4, 8, 16}, 0.25, 2},
		{[]float64{1, 2, 4, 8, 16}, 0.9, 8 + 0.6*8},
		{[]float64{1, 2}, 1, 2},
	} {
		near(t, "quantile", quantile(c.values, c.q), c.want)
	}
}

// TestBootstrap: of two windows, draws give one twice in a quarter of the cases
// and both in half of them, so the outer 2.5 % are the windows themselves. Of a
// mean of many values the interval is that of the normal distribution.
func TestBootstrap(t *testing.T) {
	mean := func(values []float64) func([]int) float64 {
		return func(draw []int) float64 {
			sum := 0.0
			for _, i := range draw {
				sum += values[i]
			}
			return sum / float64(len(draw))
		}
	}
	if e := bootstrap(1, mean([]float64{5})); e != (Estimate{5, 5, 5}) {
		t.Errorf("one window: %v", e)
	}
	if e := bootstrap(2, mean([]float64{1, 3})); e != (Estimate{2, 1, 3}) {
		t.Errorf("two windows: %v, want 2 within 1 and 3", e)
	}
	values := make([]float64, 400)
	for i := range values {
		values[i] = float64(i % 2) // standard deviation 1/2
	}
	e := bootstrap(len(values), mean(values))
	half := 1.96 * 0.5 / math.Sqrt(400)
	// 10,000 draws place a 2.5 % quantile within about 5 % of the half width.
	if e.Value != 0.5 || math.Abs(e.High-0.5-half) > 0.05*half || math.Abs(0.5-e.Low-half) > 0.05*half {
		t.Errorf("400 windows: %v, want 0.5 ± %.4f", e, half)
	}
	if again := bootstrap(len(values), mean(values)); again != e {
		t.Errorf("the seed is not fixed: %v and %v", e, again)
	}
}

// handLog has two windows of four tokens and two words in two rows: none with
// log-probabilities of -1 and -2 a token, virtual a fifth and a tenth of a nat less.
func handLog(t *testing.T) (*Log, []Row, []Window) {
	t.Helper()
	rows, err := ParseRows([]string{"none", "virtual"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	log := NewLog()
	windows := []Window{{Index: 0}, {Index: 1}, {Index: 2}}
	add := func(row string, window int, logProb float64) {
		st := StrideScore{LogProbs: []float64{logProb, logProb}, Words: 1}
		if err := log.Add(Score{Row: row, Window: window, Strides: []StrideScore{st, st}}); err != nil {
			t.Fatal(err)
		}
	}
	add("none", 0, -1)
	add("none", 1, -2)
	add("none", 2, -9) // virtual lacks the third window
	add("virtual", 0, -0.8)
	add("virtual", 1, -1.9)
	return log, rows, windows
}

func TestSummarise(t *testing.T) {
	log, rows, windows := handLog(t)
	r := Summarise(log, rows, windows, []Pair{{rows[1], rows[0]}})
	if r.Windows != 2 || len(r.Rows) != 2 || r.Rows[0].Tokens != 8 || r.Rows[0].Words != 4 {
		t.Fatalf("%+v: want the two windows that both rows have", r)
	}
	none, virtual := r.Rows[0], r.Rows[1]
	near(t, "none by token", none.Token.Value, math.Exp(1.5))
	near(t, "none by token, low", none.Token.Low, math.Exp(1))
	near(t, "none by token, high", none.Token.High, math.Exp(2))
	near(t, "none by word", none.Word.Value, math.Exp(3)) // 12 nats, 4 words
	near(t, "virtual by token", virtual.Token.Value, math.Exp(1.35))
	d := r.Differences[0]
	near(t, "difference", d.Relative.Value, math.Exp(-0.15)-1)
	// Paired: the windows differ by a nat, their differences by a tenth.
	near(t, "difference, low", d.Relative.Low, math.Exp(-0.2)-1)
	near(t, "difference, high", d.Relative.High, math.Exp(-0.1)-1)
	if d.Lower != 2 {
		t.Errorf("lower in %d windows, want 2", d.Lower)
	}
}

func TestMarkdown(t *testing.T) {
	log, rows, windows := handLog(t)
	var b strings.Builder
	if err := Summarise(log, rows, windows, AgainstNone(rows)).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	const want = `2 windows, 8 tokens, 4 words.

| row | perplexity by token | 95 % interval | by word | 95 % interval |
|---|---:|---:|---:|---:|
| none | 4.48 | 2.72 – 7.39 | 20.09 | 7.39 – 54.60 |
| virtual | 3.86 | 2.23 – 6.69 | 14.88 | 4.95 – 44.70 |

| rows | difference by token | 95 % interval, paired | lower in |
|---|---:|---:|---:|
| virtual against none | -13.9 % | -18.1 % – -9.5 % | 2 of 2 windows |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := Summarise(NewLog(), rows, windows, nil).Markdown(&b); err != nil || !strings.HasPrefix(b.String(), "No window") {
		t.Errorf("without scores: %q, %v", b.String(), err)
	}
}

func TestPlot(t *testing.T) {
	log, rows, windows := handLog(t)
	file := filepath.Join(t.TempDir(), "rows.png")
	if err := Summarise(log, rows, windows, nil).Plot(file, "two rows"); err != nil {
		t.Fatal(err)
	}
	if png, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("the plot is no PNG: %v", err)
	}
}
