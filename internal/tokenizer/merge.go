package tokenizer

import "math"

// merge is what a pair of neighbouring tokens becomes.
type merge struct {
	rank int32 // order in which the merges were learnt: the lowest is applied first
	id   int32 // the token that the two become
}

// pair names two neighbouring tokens.
type pair struct{ left, right int32 }

// merging gives what two neighbouring tokens become; its rank is noMerge if they stay two.
type merging func(left, right int32) merge

// all merges ids in place and returns how many are left: the pair of the lowest rank first, the leftmost of several.
func (of merging) all(ids []int32) int {
	if len(ids) <= maxShort {
		return of.mergeShort(ids)
	}
	return of.mergeLong(ids)
}

// byPair looks merges up by the pair.
func byPair(merges map[pair]merge) merging {
	return func(left, right int32) merge {
		if found, ok := merges[pair{left, right}]; ok {
			return found
		}
		return merge{rank: noMerge}
	}
}

// maxShort is how many tokens are merged by scanning, which then beats a heap.
const maxShort = 48

// noMerge ranks a pair that does not merge behind all that do.
const noMerge = math.MaxInt32

// mergeShort merges at most maxShort ids in place and returns how many are left. It scans for the best pair again after
// each merge.
func (of merging) mergeShort(ids []int32) int {
	n := len(ids)
	var pairs [maxShort]merge // pairs[i] is what ids[i] and ids[i+1] become
	for i := range n - 1 {
		pairs[i] = of(ids[i], ids[i+1])
	}
	for n > 1 {
		best := 0
		for i := 1; i < n-1; i++ {
			if pairs[i].rank < pairs[best].rank {
				best = i
			}
		}
		if pairs[best].rank == noMerge {
			break
		}
		ids[best] = pairs[best].id
		copy(ids[best+1:n-1], ids[best+2:n])
		copy(pairs[best:n-2], pairs[best+1:n-1])
		n--
		if best > 0 {
			pairs[best-1] = of(ids[best-1], ids[best])
		}
		if best < n-1 {
			pairs[best] = of(ids[best], ids[best+1])
		}
	}
	return n
}

// mergeLong does the same in n log n: the tokens are a linked list, the pairs wait in a heap, and a pair whose tokens have
// meanwhile merged otherwise is recognised when it comes up.
func (of merging) mergeLong(ids []int32) int {
	const gone = -1
	n := int32(len(ids))
	next, previous := make([]int32, n), make([]int32, n)
	waiting := make(candidates, 0, n)
	for i := range n {
		next[i], previous[i] = i+1, i-1
	}
	offer := func(left int32) {
		if left >= 0 && next[left] < n {
			if found := of(ids[left], ids[next[left]]); found.rank != noMerge {
				waiting.push(candidate{found, left})
			}
		}
	}
	for i := range n {
		offer(i)
	}
	for len(waiting) > 0 {
		best := waiting.pop()
		left := best.left
		if ids[left] == gone || next[left] >= n || of(ids[left], ids[next[left]]) != best.merge {
			continue
		}
		right := next[left]
		ids[left], ids[right] = best.id, gone
		next[left] = next[right]
		if next[left] < n {
			previous[next[left]] = left
		}
		offer(previous[left])
		offer(left)
	}
	kept := 0
	for i := int32(0); i < n; i = next[i] {
		ids[kept] = ids[i]
		kept++
	}
	return kept
}
