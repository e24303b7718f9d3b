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
