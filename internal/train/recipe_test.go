package train

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/model"
)

func TestRecipesAreSound(t *testing.T) {
	for name, recipe := range Recipes {
		r := recipe()
		if err := r.Check(); err != nil {
			t.Errorf("recipe %s: %v", name, err)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back Recipe
		if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("recipe %s through JSON: %+v, %v", name, back, err)
		}
	}
}

func TestRecipeChecks(t *testing.T) {
	for want, change := range map[string]func(*Recipe){
		"placement":     func(r *Recipe) { r.Placement = "behind" },
		"echo":          func(r *Recipe) { r.Echo = 0 }, // virtual needs one
		"passages":      func(r *Recipe) { r.K = 0 },
		"rank":          func(r *Recipe) { r.Rank = math.MaxInt32 },
		"alpha":         func(r *Recipe) { r.Alpha = math.NaN() },
		"dropout":       func(r *Recipe) { r.Dropout = 1 },
		"targets":       func(r *Recipe) { r.Targets = nil },
		"learning rate": func(r *Recipe) { r.LR = math.Inf(1) },
		"schedule":      func(r *Recipe) { r.Schedule = "constant" },
		"warm-up":       func(r *Recipe) { r.Warmup = 2 },
		"weight decay":  func(r *Recipe) { r.WeightDecay = -1 },
		"clipping":      func(r *Recipe) { r.Clip = -1 },
		"batch":         func(r *Recipe) { r.Batch = 0 },
		"steps":         func(r *Recipe) { r.Steps = -1 },
		"validations":   func(r *Recipe) { r.EvalEvery = 0 },
		"patience":      func(r *Recipe) { r.Patience = -1 },
		"marks":         func(r *Recipe) { r.Placement, r.Echo, r.Marks = "none", 0, true },
	} {
		r := Default()
		change(&r)
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}

func TestTargets(t *testing.T) {
	for names, want := range map[string]string{"c_attn,c_fc": "q,k,v,up", "all-linear": all.String(), "mlp.c_proj,out_proj": "o,down"} {
		if got, err := ParseTargets(names); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", names, got, err, want)
		}
	}
	got, err := ParseTargets("v_proj, q,down")
	if err != nil || !reflect.DeepEqual(got, Targets{model.Q, model.V, model.Down}) || got.String() != "q,v,down" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "q,,v", "lm_head"} {
		if _, err := ParseTargets(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
