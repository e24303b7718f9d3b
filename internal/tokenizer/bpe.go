package tokenizer

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// merge is what a pair of neighbouring tokens becomes.
type merge struct {
	rank int32 // order in which the merges were learnt: the lowest is applied first
	id   int32 // the token that the two become
}

// pair names two neighbouring tokens.
type pair struct{ left, right int32 }

// merger merges the bytes of a piece of text into tokens.
type merger struct {
	bytes  [256]int32 // token of each single byte, -1 where the vocabulary has none
	merges map[pair]merge
	// Strings that merges name and the vocabulary lacks have ids from size on, so that what they merge to is reached. Where
	// one is left when a piece is merged, it is cut into the tokens of its bytes.
	size   int32
	absent []string         // by id - size
	whole  map[string]int32 // by stored name: a piece that is a token is taken without merging; nil when merges decide
}

// newMerger reads the merges against the tokens that text may become, by stored name, of a vocabulary of that size. With
// wholeFirst a piece that is itself a token needs no merges. It also returns how many merges it left out as malformed.
// Of two equal ones the first counts.
func newMerger(merges []string, ids map[string]int32, size int32, wholeFirst bool) (m merger, malformed int, err error) {
	m.size = size
	known := 0
	for b, r := range byteRune {
		m.bytes[b] = -1
		if id, ok := ids[string(r)]; ok {
			m.bytes[b] = id
			known++
		}
	}
	if known == 0 {
		return m, 0, fmt.Errorf("tokenizer: the vocabulary holds no single byte, so it is not that of a byte-level BPE")
	}
	if len(merges) > maxMerges {
		return m, 0, fmt.Errorf("tokenizer: %d merges; at most %d are supported", len(merges), maxMerges)
	}
	if wholeFirst {
		m.whole = ids
	}
	lacking := map[string]int32{}
	symbol := func(name string) int32 {
		if id, ok := ids[name]; ok {
			return id
		}
		id, ok := lacking[name]
		if !ok {
			id = size + int32(len(m.absent))
			lacking[name] = id
			m.absent = append(m.absent, name)
		}
		return id
	}
	m.merges = make(map[pair]merge, len(merges))
	for rank, text := range merges {
		left, right, ok := strings.Cut(text, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			malformed++
			continue
		}
		p := pair{symbol(left), symbol(right)}
		if _, twice := m.merges[p]; !twice {
			m.merges[p] = merge{int32(rank), symbol(left + right)}
		}
	}
	for b, r := range byteRune { // a byte without a token may yet merge
		if id, ok := lacking[string(r)]; ok {
			m.bytes[b] = id
		}
	}
	return m, malformed, nil
}

// appendCut appends merged ids, the absent ones cut into those of their bytes, as far as the vocabulary has these.
func (m *merger) appendCut(ids, merged []int32) []int32 {
	for _, id := range merged {
		if id < m.size {
			ids = append(ids, id)
			continue
		}
		for _, b := range appendAlphabet(nil, m.absent[id-m.size]) {
			if id := m.bytes[b]; id >= 0 && id < m.size {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// appendIDs appends the tokens of one piece of text.
func (m *merger) appendIDs(ids []int32, piece string) []int32 {
	if m.whole != nil {
		if id, ok := m.whole[toAlphabet(piece)]; ok {
			return append(ids, id)
		}
	}
	start := len(ids)
	for i := range len(piece) {
		if id := m.bytes[piece[i]]; id >= 0 {
			ids = append(ids, id)
		}
	}
	all := m.mergeLong
	if len(ids)-start <= maxShort {
		all = m.mergeShort
	}
	ids = ids[:start+all(ids[start:])]
	if m.absent != nil {
		return m.appendCut(ids[:start], slices.Clone(ids[start:]))
	}
	return ids
}

// maxShort is how many tokens are merged by scanning, which then beats a heap.
const maxShort = 48

// noMerge ranks a pair that does not merge behind all that do.
const noMerge = math.MaxInt32

// of gives what two neighbouring tokens become; its rank is noMerge if they stay two.
func (m *merger) of(left, right int32) merge {
	if found, ok := m.merges[pair{left, right}]; ok {
		return found
	}
	return merge{rank: noMerge}
}

// mergeShort merges at most maxShort ids in place and returns how many are left. It scans for the best pair again after
// each merge.
func (m *merger) mergeShort(ids []int32) int {
	n := len(ids)
	var pairs [maxShort]merge // pairs[i] is what ids[i] and ids[i+1] become
	for i := range n - 1 {
		pairs[i] = m.of(ids[i], ids[i+1])
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
			pairs[best-1] = m.of(ids[best-1], ids[best])
		}
		if best < n-1 {
			pairs[best] = m.of(ids[best], ids[best+1])
		}
	}
	return n
}

// mergeLong does the same in n log n: the tokens are a linked list, the pairs wait in a heap, and a pair whose tokens have
// meanwhile merged otherwise is recognised when it comes up.
func (m *merger) mergeLong(ids []int32) int {
	const gone = -1
	n := int32(len(ids))
	next, previous := make([]int32, n), make([]int32, n)
	waiting := make(candidates, 0, n)
	for i := range n {
		next[i], previous[i] = i+1, i-1
	}
	offer := func(left int32) {
		if left >= 0 && next[left] < n {
			if found := m.of(ids[left], ids[next[left]]); found.rank != noMerge {
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
		if ids[left] == gone || next[left] >= n || m.of(ids[left], ids[next[left]]) != best.merge {
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
