package bm25

import "slices"

// hit packs a score and a passage so that the better one is greater: a higher
// score, or an equal one and a lower number.
type hit uint64

func newHit(score, doc uint32) hit { return hit(uint64(score)<<32 | uint64(^doc)) }

func (h hit) score() uint32 { return uint32(h >> 32) }
func (h hit) doc() uint32   { return ^uint32(h) }

// topK keeps the k best hits, in a heap with the worst first.
type topK struct {
	k    int
	heap []hit
}

func (t *topK) reset(k int) { t.k, t.heap = k, t.heap[:0] }

// worst returns the hit that a new one must exceed.
func (t *topK) worst() hit {
	if len(t.heap) < t.k {
		return 0
	}
	return t.heap[0]
}

// add takes h in, which exceeds worst.
func (t *topK) add(h hit) {
	if len(t.heap) < t.k {
		t.heap = append(t.heap, h)
		for i := len(t.heap) - 1; i > 0; {
			parent := (i - 1) / 2
			if t.heap[parent] <= t.heap[i] {
				return
			}
			t.heap[parent], t.heap[i] = t.heap[i], t.heap[parent]
			i = parent
		}
		return
	}
	t.replace(0, h)
}

// replace puts h in the place of the worse hit i.
func (t *topK) replace(i int, h hit) {
	t.heap[i] = h
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			return
		}
		if child+1 < len(t.heap) && t.heap[child+1] < t.heap[child] {
			child++
		}
		if t.heap[i] <= t.heap[child] {
			return
		}
		t.heap[i], t.heap[child] = t.heap[child], t.heap[i]
		i = child
	}
}

// sorted returns the hits, best first, and empties the heap's order.
func (t *topK) sorted() []hit {
	slices.SortFunc(t.heap, func(a, b hit) int {
		if a > b {
			return -1
		}
		return 1
	})
	return t.heap
}
