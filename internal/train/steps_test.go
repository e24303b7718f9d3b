package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// Twenty steps of a run track those of PEFT with torch.optim.AdamW and clipping,
// which tools/reference/train_steps.py took from the same factors. The two sum in
// other orders, and steps carry the difference on: 1e-3 of a loss.
func TestStepsTrackPEFT(t *testing.T) {
	data, err := os.ReadFile("testdata/steps.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Losses, Norms []float64 }
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	w, a := peft()
	p := func(n int) trainset.Passage {
		return trainset.Passage{Tokens: fixture.Tokens(fmt.Sprint("passage ", n), n, 64)}
	}
	set := &tinySet{
		header: trainset.Header{Tokenizer: "t", Options: trainset.Options{Context: 50, Stride: tinyTarget, K: 2, PassageLen: 19}},
		windows: []trainset.Window{{Document: "peft", Tokens: fixture.Tokens("window", 60, 64), Strides: []trainset.Stride{
			{Context: 9, Passages: []trainset.Passage{p(19), p(7)}},
			{Context: 23, Passages: []trainset.Passage{p(11)}},
			{Context: 38, Passages: []trainset.Passage{p(19), p(11)}},
			{Context: 50},
		}}},
	}
	r := Default()
	r.Placement, r.Echo, r.K, r.Marks, r.Dropout = "append", 4, 1, true, 0
	r.LR, r.Warmup, r.WeightDecay, r.Clip, r.Batch, r.Steps = 0.01, 0.1, 0.01, 1, 1, len(want.Losses)
	windows, err := Packing{
		Model: newModel(t, w, 2), Tokenizer: "t", Context: 2048, Recipe: r, Marks: &ralm.Marks{Left: 64, Right: 65},
	}.Windows(set)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	run1(t, Options{
		Dir: t.TempDir(), Config: Config{Recipe: r}, Initial: a, Train: windows, SaveEvery: 100,
		Record: func(got Record) {
			loss, norm := want.Losses[steps], want.Norms[steps]
			if !(math.Abs(got.Loss-loss) <= 1e-3*loss) || !(math.Abs(got.GradNorm-norm) <= 1e-2*norm) {
				t.Errorf("step %d: loss %.6f and norm %.5f, PEFT's are %.6f and %.5f", got.Step, got.Loss, got.GradNorm, loss, norm)
			}
			steps++
		},
	})
	if steps != 20 || !(want.Losses[19] < 0.8*want.Losses[0]) {
		t.Errorf("%d steps, PEFT's loss went from %v to %v", steps, want.Losses[0], want.Losses[19])
	}
}
