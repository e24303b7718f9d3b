package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// byteBPE merges the bytes of a piece of text into tokens.
type byteBPE struct {
	bytes  [256]int32 // token of each single byte, -1 where the vocabulary has none
	merges merging
	// Strings that merges name and the vocabulary lacks have ids from size on, so that what they merge to is reached. Where
	// one is left when a piece is merged, it is cut into the tokens of its bytes.
	size   int32
	absent []string         // by id - size
	whole  map[string]int32 // by stored name: a piece that is a token is taken without merging; nil when merges decide
}

// newByteBPE reads the merges against the tokens that text may become, by stored name, of a vocabulary of that size. With
// wholeFirst a piece that is itself a token needs no merges. It also returns how many merges it left out as malformed.
// Of two equal ones the first counts.
func newByteBPE(merges []string, ids map[string]int32, size int32, wholeFirst bool) (m *byteBPE, malformed int, err error) {
	m = &byteBPE{size: size}
	single := 0
	for b, r := range byteRune {
		m.bytes[b] = -1
		if id, ok := ids[string(r)]; ok {
			m.bytes[b] = id
			single++
		}
	}
	if single == 0 {
		return nil, 0, fmt.Errorf("tokenizer: the vocabulary holds no single byte, so it is not that of a byte-level BPE")
	}
	if len(merges) > maxMerges {
		return nil, 0, fmt.Errorf("tokenizer: %d merges; at most %d are supported", len(merges), maxMerges)
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
	known := make(map[pair]merge, len(merges))
	for rank, text := range merges {
		left, right, ok := strings.Cut(text, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			malformed++
			continue
		}
		p := pair{symbol(left), symbol(right)}
		if _, twice := known[p]; !twice {
			known[p] = merge{int32(rank), symbol(left + right)}
		}
	}
	for b, r := range byteRune { // a byte without a token may yet merge
		if id, ok := lacking[string(r)]; ok {
			m.bytes[b] = id
		}
	}
	m.merges = byPair(known)
	return m, malformed, nil
}

// appendCut appends merged ids, the absent ones cut into those of their bytes, as far as the vocabulary has these.
func (m *byteBPE) appendCut(ids, merged []int32) []int32 {
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
func (m *byteBPE) appendIDs(ids []int32, piece string) []int32 {
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
	ids = ids[:start+m.merges.all(ids[start:])]
	if m.absent != nil {
		return m.appendCut(ids[:start], slices.Clone(ids[start:]))
	}
	return ids
}
