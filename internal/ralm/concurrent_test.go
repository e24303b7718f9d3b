package ralm_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// TestConcurrentGenerations runs loops on one engine, with adapters and without, each
// verified while the others write.
func TestConcurrentGenerations(t *testing.T) {
	w := modeltest.Tiny(1)
	e, err := engine.New(w, engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	shape := lora.ShapeOf(w)
	adapters := []*engine.Adapter{nil}
	for seed := range uint64(2) {
		// A new factor B is 0: without other values nothing would change.
		a := lora.New(lora.Config{Rank: 4, Alpha: 8, Targets: []model.Role{model.Q, model.Down}}, shape, seed)
		for _, layer := range a.Layers {
			for _, f := range layer {
				if f != nil {
					for i := range f.B {
						f.B[i] = float32(i%7-3) / 10
					}
				}
			}
		}
		loaded, err := e.LoadAdapter(a)
		if err != nil {
			t.Fatal(err)
		}
		adapters = append(adapters, loaded)
	}
	passages := shelves{"one passage", "another passage, longer", "a third one", "and the last"}
	var loops sync.WaitGroup
	for i, a := range adapters {
		for _, p := range placement.All {
			loops.Go(func() {
				if err := verified(t, e, a, p, passages); err != nil {
					t.Errorf("adapter %d, %s: %v", i, p.Name, err)
				}
			})
		}
	}
	loops.Wait()
}

// verified generates some tokens and returns what its verification found wrong.
func verified(t *testing.T, e *engine.Engine, a *engine.Adapter, p placement.Placement, passages shelves) error {
	v := &ralm.Verifier{Engine: e}
	if a != nil {
		v.Engine = a
	}
	s := e.NewSequence()
	defer s.Close()
	if err := s.SetAdapter(a); err != nil {
		return err
	}
	o := ralm.Defaults()
	o.Placement, o.Stride, o.MaxTokens, o.Record = p, 5, 15, v.Record
	for _, err := range ralm.New(s, bytes{}, passages).Generate(t.Context(), tokens("a text to go on from"), o) {
		if err != nil {
			return err
		}
	}
	if r := v.Report(); r.First != nil || r.Tokens != o.MaxTokens {
		return fmt.Errorf("%d of %d tokens were verified, first difference: %v", r.Tokens, o.MaxTokens, r.First)
	}
	return nil
}
