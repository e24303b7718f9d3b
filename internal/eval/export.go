package eval

import (
	"context"
	"encoding/json"
	"io"
	"slices"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Case is one scored stride as another implementation can score it:
// tools/reference/placements_eval.py does with transformers.
type Case struct {
	Row       string    `json:"row"`
	Window    int       `json:"window"`
	Placement string    `json:"placement"`
	Echo      int       `json:"echo"`
	Context   []int32   `json:"context"` // lead and sink, where there are such, first
	Evidence  [][]int32 `json:"evidence"`
	Target    []int32   `json:"target"`
	Ours      []float64 `json:"ours"` // the natural log-probabilities that we found
}

// chosen returns the list that was scored: the one, or of several passages that were each
// shown alone the one of that id.
func chosen(shown [][]retrieve.Passage, ids []string) []retrieve.Passage {
	for _, passages := range shown {
		if len(shown) > 1 && len(ids) == 1 && passages[0].ID == ids[0] {
			return passages
		}
	}
	return shown[0]
}

// Export writes the cases of all windows that are complete, one as JSON a line.
func (e *Evaluation) Export(ctx context.Context, w io.Writer, windows []Window, log *Log) error {
	out := json.NewEncoder(w)
	for _, window := range log.Complete(e.Rows, windows) {
		strides, err := e.strides(ctx, window)
		if err != nil {
			return err
		}
		for _, r := range e.Rows {
			score, _ := log.Score(r, window)
			for i, st := range strides {
				c := Case{
					Row: r.String(), Window: window.Index, Placement: r.Placement.Name, Echo: r.Placement.Echo,
					Evidence: [][]int32{}, Target: st.target, Ours: score.Strides[i].LogProbs,
				}
				c.Context = slices.Concat(e.before(r), window.Tokens[:st.context])
				_, evidence := e.place(r, chosen(r.shown(st), score.Strides[i].Passages))
				for _, ev := range evidence {
					c.Evidence = append(c.Evidence, ev.Tokens)
				}
				if err := out.Encode(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
