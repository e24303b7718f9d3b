package eval

import (
	"context"
	"math"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// TestTextBehindAReserve: a row whose text starts at position 130 of learned ones scores as
// transformers does with those position ids (tools/reference/families.py), within what two
// f32 implementations of a tiny model differ by, and otherwise than a text that starts at 0.
func TestTextBehindAReserve(t *testing.T) {
	for _, name := range []string{"gpt2", "opt", "opt-350m"} {
		t.Run(name, func(t *testing.T) {
			m, want := modeltest.Family(t, name), modeltest.ReferenceOf(t, name)
			e, err := engine.New(&m.Weights, engine.Options{Threads: 1, Compute: engine.Exact})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			rows, err := ParseRows([]string{"none", "none:reserve=130"}, -1)
			if err != nil {
				t.Fatal(err)
			}
			long := Recipe{Context: 272, Stride: 16, Every: 1}
			window, sequences := Window{Document: "d", Tokens: want.IDs[:long.Window()]}, 0
			evaluation := &Evaluation{Tokenizer: byteTokens{}, Rows: rows, Recipe: long, Place: e.Place,
				NewSequence: func(Row) Sequence { sequences++; return e.NewSequence() }}
			log := NewLog()
			if err := evaluation.Run(context.Background(), []Window{window}, log, func() {}); err != nil {
				t.Fatal(err)
			}
			if sequences != len(rows) {
				t.Errorf("%d sequences, want one for each start", sequences)
			}
			worst, moved := 0.0, 0.0
			for i, row := range rows {
				score, _ := log.Score(row, window)
				for _, st := range score.Strides {
					for j, got := range st.LogProbs {
						d := math.Abs(got - float64(want.BehindReserve[st.Context+j-1]))
						if i == 0 {
							moved = max(moved, d)
						} else {
							worst = max(worst, d)
						}
					}
				}
			}
			t.Logf("largest difference of a log-probability %.1e; from a text at 0 %.1f", worst, moved)
			if !(worst <= 1e-4) || moved < 0.1 {
				t.Errorf("behind the reserve log-probabilities differ by up to %g, at 0 by %g", worst, moved)
			}
		})
	}
}
