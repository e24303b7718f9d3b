package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"
)

// optimiserFixture is what tools/reference/optimiser.py writes.
type optimiserFixture struct {
	AdamW []struct {
		Decay                 float64
		LR                    []float64
		Initial               [][]float32
		Gradients, Parameters [][][]float32
	}
	Clip []struct {
		Limit, Norm        float64
		Gradients, Clipped [][]float32
	}
	Schedules []struct {
		Name          string
		Warmup, Steps int
		Factors       []float64
	}
}

func loadOptimiserFixture(t *testing.T) optimiserFixture {
	t.Helper()
	data, err := os.ReadFile("testdata/optimiser.json")
	if err != nil {
		t.Fatal(err)
	}
	var f optimiserFixture
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// distance is ‖a−b‖/‖b‖ over all tensors.
func distance(a, b [][]float32) float64 {
	var difference, size float64
	for i := range b {
		for j := range b[i] {
			d := float64(a[i][j]) - float64(b[i][j])
			difference += d * d
			size += float64(b[i][j]) * float64(b[i][j])
		}
	}
	return math.Sqrt(difference / size)
}

// The tolerance is a few roundings of f32: PyTorch may fuse or order the products
// otherwise.
func TestAdamWIsPyTorchs(t *testing.T) {
	for _, c := range loadOptimiserFixture(t).AdamW {
		t.Run(fmt.Sprint("decay ", c.Decay), func(t *testing.T) {
			o := newAdamW(c.Decay, c.Initial)
			if len(c.LR) != 20 {
				t.Fatalf("%d steps in the fixture", len(c.LR))
			}
			for i, lr := range c.LR {
				o.step(c.Initial, c.Gradients[i], lr)
				if d := distance(c.Initial, c.Parameters[i]); !(d <= 1e-6) {
					t.Fatalf("step %d: parameters are %.1e from PyTorch's", i+1, d)
				}
			}
		})
	}
}

func TestClipIsPyTorchs(t *testing.T) {
	for _, c := range loadOptimiserFixture(t).Clip {
		n := norm(c.Gradients)
		if math.Abs(n-c.Norm) > 1e-6*c.Norm {
			t.Errorf("norm %v, PyTorch's is %v", n, c.Norm)
		}
		clip(c.Gradients, n, c.Limit)
		if d := distance(c.Gradients, c.Clipped); !(d <= 1e-6) {
			t.Errorf("limit %v: clipped gradients are %.1e from PyTorch's", c.Limit, d)
		}
	}
}

func TestClipZeroLeavesGradients(t *testing.T) {
	g := [][]float32{{3, 4}}
	clip(g, norm(g), 0)
	if g[0][0] != 3 || g[0][1] != 4 {
		t.Errorf("got %v", g)
	}
}

func TestSchedulesAreTransformers(t *testing.T) {
	for _, c := range loadOptimiserFixture(t).Schedules {
		factor, err := schedule(c.Name, c.Warmup, c.Steps)
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range c.Factors {
			if got := factor(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s, warm-up %d of %d: step %d has %v, transformers' %v", c.Name, c.Warmup, c.Steps, step, got, want)
			}
		}
	}
	if _, err := schedule("constant", 0, 10); err == nil {
		t.Error("an unknown schedule is accepted")
	}
}

func TestWarmupRoundsUp(t *testing.T) {
	for _, c := range []struct {
		share       float64
		steps, want int
	}{{0.1, 1000, 100}, {0.1, 15, 2}, {0, 10, 0}, {1, 10, 10}} {
		if got := warmupSteps(c.share, c.steps); got != c.want {
			t.Errorf("%v of %d steps: %d, want %d", c.share, c.steps, got, c.want)
		}
	}
}
