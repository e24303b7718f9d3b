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
	var all []tensor.Matrix
	for _, m := range w.All() {
		if m.Rows > 0 {
			all = append(all, *m)
		}
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
