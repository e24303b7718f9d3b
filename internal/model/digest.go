package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// Digest returns a hash of the names, types, shapes and data of all weights: the
// same for every copy of them, whatever the metadata beside them. It reads them all.
func (w *Weights) Digest() string {
	all := []tensor.Matrix{w.Embedding, w.OutputNorm, w.Head}
	for _, l := range w.Layers {
		all = append(all, l.AttnNorm, l.Q, l.K, l.V, l.O, l.FFNorm, l.Gate, l.Up, l.Down)
	}
	sums := make([][sha256.Size]byte, len(all))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range all {
		work.Go(func() error {
			sums[i] = sha256.Sum256(m.Data)
			return nil
		})
	}
	work.Wait() // hashing does not fail
	h := sha256.New()
	for i, m := range all {
		fmt.Fprintf(h, "%s %s [%d, %d] %x\n", m.Name, m.Type, m.Rows, m.Cols, sums[i])
	}
	return hex.EncodeToString(h.Sum(nil))
}
