package sample

// candidate is a token that may come next.
type candidate struct {
	id    int32
	logit float32
}

// before says whether c is the better candidate; no two are equal.
func (c candidate) before(d candidate) bool {
	return c.logit > d.logit || c.logit == d.logit && c.id < d.id
}

// mostOf returns the n best of all, which it puts first in any order. Most of a vocabulary
// are only compared with the worst that is kept so far.
func mostOf(all []candidate, n int) []candidate {
	kept := all[:n]
	for i := n/2 - 1; i >= 0; i-- {
		rise(kept, i)
	}
	for i := n; i < len(all); i++ {
		if all[i].before(kept[0]) {
			kept[0], all[i] = all[i], kept[0]
			rise(kept, 0)
		}
	}
	return kept
}

// rise makes a heap with the worst on top of candidates that are one but for the i-th.
func rise(all []candidate, i int) {
	for {
		child := 2*i + 1
		if child >= len(all) {
			return
		}
		if child+1 < len(all) && all[child].before(all[child+1]) {
			child++
		}
		if all[child].before(all[i]) {
			return
		}
		all[i], all[child] = all[child], all[i]
		i = child
	}
}

// heap hands candidates out best first, and orders no more of them than it is
// asked for: the filters mostly keep a few of a vocabulary. Those handed out
// stand at the end, the best last.
type heap struct {
	all []candidate
	n   int // candidates still in the heap
}

func newHeap(all []candidate) heap {
	h := heap{all, len(all)}
	for i := h.n/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
	return h
}

// best returns the candidate of rank i; ranks are asked for in order or again.
func (h *heap) best(i int) candidate {
	for len(h.all)-h.n <= i {
		h.n--
		h.all[0], h.all[h.n] = h.all[h.n], h.all[0]
		h.sink(0)
	}
	return h.all[len(h.all)-1-i]
}

// taken returns the n best, worst first; they were handed out before.
func (h *heap) taken(n int) []candidate { return h.all[len(h.all)-n:] }

func (h *heap) sink(i int) {
	for {
		child := 2*i + 1
		if child >= h.n {
			return
		}
		if child+1 < h.n && h.all[child+1].before(h.all[child]) {
			child++
		}
		if h.all[i].before(h.all[child]) {
			return
		}
		h.all[i], h.all[child] = h.all[child], h.all[i]
		i = child
	}
}
