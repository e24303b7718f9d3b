package eval

import (
	"fmt"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Passages are what rows with random passages draw from.
type Passages struct {
	Len  int                                           // how many there are
	Read func(number uint32) (retrieve.Passage, error) // from 0
}

// randomSeed makes every run draw the same passages.
const randomSeed = 1

// draw returns k passages at random, the same for a window and a context in every
// run: each as likely as any other that is not of the window's document. They score
// the same.
func (ps *Passages) draw(k int, w Window, context int) ([]retrieve.Passage, error) {
	r := rand.New(rand.NewPCG(randomSeed, uint64(w.Index)<<32|uint64(context)))
	drawn := map[uint32]bool{}
	var found []retrieve.Passage
	for len(found) < k && len(drawn) < ps.Len {
		n := r.Uint32N(uint32(ps.Len))
		if drawn[n] {
			continue
		}
		drawn[n] = true
		p, err := ps.Read(n)
		if err != nil {
			return nil, fmt.Errorf("drawing passage %d: %w", n, err)
		}
		if p.Of(w.Document) || w.Title != "" && p.Title == w.Title {
			continue
		}
		p.Score = 1
		found = append(found, p)
	}
	return found, nil
}
