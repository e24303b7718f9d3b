package model

import (
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// CheckFinite reads all weights and returns an error that names the first tensor of the
// list with one that is no number, or infinite. It is for saying what is wrong once
// something is: nobody reads a whole file to find that it is sound.
func (w *Weights) CheckFinite() error {
	var all []tensor.Matrix
	for _, m := range w.All() {
		all = append(all, *m)
	}
	found := make([]error, len(all))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range all {
		work.Go(func() error {
			for row := 0; row < m.Rows && found[i] == nil; row++ {
				found[i] = quant.CheckRow(m, row)
			}
			return nil
		})
	}
	work.Wait()
	for _, err := range found {
		if err != nil {
			return err
		}
	}
	return nil
}
