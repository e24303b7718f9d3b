package train

import (
	"fmt"
	"math"
	"strings"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Recipe is all that a user chooses about a training. Start from Default or Paper.
type Recipe struct {
	Placement string `json:"placement"` // where evidence stands
	Echo      int    `json:"echo"`      // context tokens repeated behind it
	K         int    `json:"k"`         // passages a stride
	Marks     bool   `json:"marks"`     // Marking Tokens around each passage, trained too
	// Activated applies the adapter from the evidence on, so that the context's keys
	// and values are the base model's.
	Activated bool `json:"activated"`

	Rank    int     `json:"rank"`
	Alpha   float64 `json:"alpha"`   // updates are scaled by alpha/rank
	RSLoRA  bool    `json:"rslora"`  // by alpha/√rank instead
	Dropout float64 `json:"dropout"` // of the adapter's input
	Targets Targets `json:"targets"` // projections that get factors

	LR          float64 `json:"lr"`           // at its peak
	Schedule    string  `json:"schedule"`     // one of Schedules
	Warmup      float64 `json:"warmup"`       // share of the steps
	WeightDecay float64 `json:"weight_decay"` // decoupled
	Clip        float64 `json:"clip"`         // limit of the gradient's norm; 0: none
	Batch       int     `json:"batch"`        // windows a step
	Steps       int     `json:"steps"`
	Seed        uint64  `json:"seed"` // of the first factors and of dropout

	EvalEvery int `json:"eval_every"` // steps from one validation to the next
	Patience  int `json:"patience"`   // validations without a new best that end it; 0: never
}

// Default returns the recipe that did best of those measured: two passages placed
// virtually, factors on the attention's projections.
func Default() Recipe {
	return Recipe{
		Placement: placement.Virtual.Name, Echo: placement.Virtual.Echo, K: 2,
		Rank: 16, Alpha: 32, Dropout: 0.05, Targets: Targets{model.Q, model.K, model.V, model.O},
		LR: 5e-4, Schedule: "cosine", Warmup: 0.1, Clip: 1, Batch: 4, Steps: 1000,
		EvalEvery: 100, Patience: 3,
	}
}

// Paper returns FlashBack's own recipe (arXiv 2405.04065): one passage with marks
// behind the context.
func Paper() Recipe {
	r := Default()
	r.Placement, r.Echo, r.K, r.Marks = placement.Append.Name, 0, 1, true
	r.Targets, r.LR, r.Batch = Targets{model.Q, model.V}, 1e-4, 16
	return r
}

// Recipes are the recipes that have a name.
var Recipes = map[string]func() Recipe{"default": Default, "paper": Paper}

// Layout returns the row of the placement table that the recipe trains for.
func (r Recipe) Layout() (placement.Placement, error) {
	p, err := placement.Parse(r.Placement)
	if err != nil {
		return p, err
	}
	return p.WithEcho(r.Echo)
}

// Check refuses values that cannot be trained with.
func (r Recipe) Check() error {
	if _, err := r.Layout(); err != nil {
		return err
	}
	if _, err := schedule(r.Schedule, 0, 1); err != nil {
		return err
	}
	for _, c := range []struct {
		name         string
		value, least int
		most         int
	}{
		{"number of passages", r.K, 1, 1 << 10},
		{"rank", r.Rank, 1, 1 << 12},
		{"batch", r.Batch, 1, 1 << 20},
		{"number of steps", r.Steps, 0, 1 << 30},
		{"steps between validations", r.EvalEvery, 1, 1 << 30},
		{"patience", r.Patience, 0, 1 << 30},
	} {
		if c.value < c.least || c.value > c.most {
			return fmt.Errorf("%s %d: must be from %d to %d", c.name, c.value, c.least, c.most)
		}
	}
	for _, c := range []struct {
		name string
		ok   bool
		v    float64
		must string
	}{
		{"alpha", r.Alpha > 0, r.Alpha, "positive"},
		{"dropout", r.Dropout >= 0 && r.Dropout < 1, r.Dropout, "from 0 to below 1"},
		{"learning rate", r.LR > 0, r.LR, "positive"},
		{"warm-up", r.Warmup >= 0 && r.Warmup <= 1, r.Warmup, "a share of the steps, from 0 to 1"},
		{"weight decay", r.WeightDecay >= 0, r.WeightDecay, "0 or more"},
		{"clipping", r.Clip >= 0, r.Clip, "0 or more"},
	} {
		if !c.ok || math.IsInf(c.v, 0) {
			return fmt.Errorf("%s %v: must be %s", c.name, c.v, c.must)
		}
	}
	if len(r.Targets) == 0 {
		return fmt.Errorf("no targets: name projections that get factors, such as q,v")
	}
	if r.Marks && r.Placement == placement.None.Name {
		return fmt.Errorf("marks stand around passages, and placement none has none")
	}
	return nil
}

// Targets are projections, written as q,k,v,o,gate,up,down.
type Targets []model.Role

// modules are PEFT's names of projections that are not ours with _proj behind them.
var modules = map[string]Targets{
	"all-linear": all,
	"qkv_proj":   {model.Q, model.K, model.V}, "gate_up_proj": {model.Gate, model.Up}, // Phi
	"c_attn": {model.Q, model.K, model.V}, "attn.c_proj": {model.O}, "c_fc": {model.Up}, "mlp.c_proj": {model.Down}, "c_proj": {model.O, model.Down}, // GPT-2
	"out_proj": {model.O}, "fc1": {model.Up}, "fc2": {model.Down}, // OPT
}

// ParseTargets reads names such as q,v or q_proj,v_proj, or PEFT's of any family.
func ParseTargets(s string) (Targets, error) {
	var chosen [model.Projections]bool
	for name := range strings.SplitSeq(s, ",") {
		short, known := strings.TrimSuffix(strings.TrimSpace(name), "_proj"), false
		for t := range model.Projections {
			if t.String() == short {
				chosen[t], known = true, true
			}
		}
		for _, t := range modules[strings.TrimSpace(name)] {
			chosen[t], known = true, true
		}
		if !known {
			return nil, fmt.Errorf("unknown projection %q: use some of %v", name, all)
		}
	}
	var targets Targets // in the order of the roles, so that one choice has one form
	for t, is := range chosen {
		if is {
			targets = append(targets, model.Role(t))
		}
	}
	return targets, nil
}

// all are the projections of every family.
var all = func() (t Targets) {
	for r := range model.Projections {
		t = append(t, r)
	}
	return t
}()

// String returns the names, comma separated.
func (t Targets) String() string {
	var names []string
	for _, target := range t {
		names = append(names, target.String())
	}
	return strings.Join(names, ",")
}

// MarshalText writes the names.
func (t Targets) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the names.
func (t *Targets) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTargets(string(text))
	return err
}

// Set reads the value of a flag.
func (t *Targets) Set(s string) error { return t.UnmarshalText([]byte(s)) }

// Type names a flag's value in help.
func (*Targets) Type() string { return "projections" }

// DefaultEcho returns the echo that a placement has of itself; 0 for a name that is
// none's.
func DefaultEcho(name string) int {
	p, err := placement.Parse(name)
	if err != nil {
		return 0
	}
	return p.Echo
}
