package tokenizer

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SentencePiece writes its vocabulary in plain characters, a blank as ▁, and what characters cannot say as the tokens <0x00>
// to <0xFF> of single bytes.

// blankMark is the character that stands for a blank.
const blankMark = "▁"

// byteName reads the name of a byte's token.
func byteName(token string) (b byte, ok bool) {
	if len(token) != len("<0x00>") || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	n, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(n), err == nil
}

// appendPlain appends the bytes that a token of a SentencePiece vocabulary stands for.
func appendPlain(text []byte, token string) []byte {
	if b, ok := byteName(token); ok {
		return append(text, b)
	}
	return append(text, strings.ReplaceAll(token, blankMark, " ")...)
}

// characters are the tokens of single characters, and what stands for others: the tokens of their bytes, if the vocabulary
// has all of those, or else the unknown token.
type characters struct {
	ids     map[string]int32 // the tokens that text may become, by stored name
	ascii   [utf8.RuneSelf]int32
	bytes   [256]int32 // -1 where there is none
	unknown int32      // -1 for none
	fuse    bool       // whether unknown characters in a row are one token
}

func newCharacters(ids map[string]int32, fallback bool, unknown int32, fuse bool) characters {
	c := characters{ids: ids, unknown: unknown, fuse: fuse}
	for i := range c.ascii {
		c.ascii[i] = c.id(string(rune(i)))
	}
	for b := range c.bytes {
		c.bytes[b] = -1
		if id, ok := ids[fmt.Sprintf("<0x%02X>", b)]; ok && fallback {
			c.bytes[b] = id
		}
	}
	return c
}

func (c *characters) id(character string) int32 {
	if id, ok := c.ids[character]; ok {
		return id
	}
	return -1
}

// appendIDs appends the tokens of a text's characters, not merged.
func (c *characters) appendIDs(ids []int32, text string) []int32 {
	for i := 0; i < len(text); {
		if b := text[i]; b < utf8.RuneSelf && c.ascii[b] >= 0 {
			ids = append(ids, c.ascii[b])
			i++
			continue
		}
		n := firstLen(text[i:])
		if id := c.id(text[i : i+n]); id >= 0 {
			ids = append(ids, id)
		} else {
			ids = c.appendOther(ids, text[i:i+n])
		}
		i += n
	}
	return ids
}

// appendOther appends what stands for a character without a token.
func (c *characters) appendOther(ids []int32, character string) []int32 {
	start := len(ids)
	for i := range len(character) {
		id := c.bytes[character[i]]
		if id < 0 {
			ids = ids[:start]
			if c.unknown >= 0 && !(c.fuse && start > 0 && ids[start-1] == c.unknown) {
				ids = append(ids, c.unknown)
			}
			return ids
		}
		ids = append(ids, id)
	}
	return ids
}

// charBPE merges the characters of a piece of text into tokens.
type charBPE struct {
	characters
	merges merging
	whole  bool // a piece that is a token is taken without merging
}

func (m *charBPE) appendIDs(ids []int32, piece string) []int32 {
	if m.whole {
		if id := m.id(piece); id >= 0 {
			return append(ids, id)
		}
	}
	start := len(ids)
	ids = m.characters.appendIDs(ids, piece)
	return ids[:start+m.merges.all(ids[start:])]
}

// byScore merges two tokens where their names joined are a token's, the one of the highest score first: what files without
// merges mean.
func byScore(names []string, ids map[string]int32, rank []int32) merging {
	return func(left, right int32) merge {
		var space [128]byte
		joined := append(append(space[:0], names[left]...), names[right]...)
		if id, ok := ids[string(joined)]; ok {
			return merge{rank[id], id}
		}
		return merge{rank: noMerge}
	}
}

// byName reads the merges of the configuration; those of tokens that the vocabulary lacks are left out.
func (t *Tokenizer) byName() merging {
	merges := make(map[pair]merge, len(t.config.Merges))
	for rank, text := range t.config.Merges {
		left, right, _ := strings.Cut(text, " ")
		l, okLeft := t.ID(left)
		r, okRight := t.ID(right)
		id, ok := t.ID(left + right)
		if _, twice := merges[pair{l, r}]; okLeft && okRight && ok && !twice {
			merges[pair{l, r}] = merge{int32(rank), id}
		}
	}
	return byPair(merges)
}

// ranks numbers tokens from the highest score on, those of equal scores alike. User-defined runs of one character, such as
// blanks, of which the longest is always taken, come before them all.
func (t *Tokenizer) ranks() []int32 {
	scores := t.config.Scores
	order := make([]int32, len(scores))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(scores[b], scores[a]) })
	rank := make([]int32, len(scores))
	for i, id := range order {
		rank[id] = int32(i)
		if i > 0 && scores[order[i-1]] == scores[id] {
			rank[id] = rank[order[i-1]]
		}
	}
	for id, token := range t.config.Tokens {
		if t.kind(int32(id)) == TypeUserDefined && token != "" && strings.Trim(token, token[:firstLen(token)]) == "" {
			rank[id] = -int32(len(token) / firstLen(token))
		}
	}
	return rank
}

// madeMerges writes the merges out that scores mean, in Hugging Face's order: by the token made, longer beginnings first.
func (t *Tokenizer) madeMerges() [][2]string {
	rank := t.ranks()
	var made []int32
	for _, id := range t.words {
		made = append(made, id)
	}
	slices.SortFunc(made, func(a, b int32) int { return cmp.Or(cmp.Compare(rank[a], rank[b]), cmp.Compare(a, b)) })
	merges := [][2]string{}
	for _, id := range made {
		token := t.config.Tokens[id]
		for i := len(token) - 1; i > 0; i-- {
			_, left := t.words[token[:i]]
			_, right := t.words[token[i:]]
			if left && right {
				merges = append(merges, [2]string{token[:i], token[i:]})
			}
		}
	}
	return merges
}

// markBlanks gives the names of tokens as SentencePiece has them. Converters write the blanks of user-defined runs out.
func markBlanks(tokens []string) []string {
	given := tokens
	for id, token := range given {
		if token != "" && strings.Trim(token, " ") == "" {
			if &tokens[0] == &given[0] {
				tokens = slices.Clone(given)
			}
			tokens[id] = strings.ReplaceAll(token, " ", blankMark)
		}
	}
	return tokens
}

// neighbours says which two characters stand side by side in some token; it may say so of two that do not. Text is cut
// wherever it says no, for nothing merges across: so pieces are about words, and the tokens of those met last are known.
type neighbours struct{ bits [1 << 15]uint64 }

func (n *neighbours) add(token string) {
	last := rune(-1)
	for _, r := range token {
		if last >= 0 {
			word, bit := place(last, r)
			n.bits[word] |= bit
		}
		last = r
	}
}

func place(a, b rune) (word int, bit uint64) {
	h := uint32(a)*0x9e3779b1 ^ uint32(b)*0x85ebca6b
	h ^= h >> 15
	h *= 0x2c1b3c6d
	return int(h >> 17), 1 << (h & 63)
}

// pieces cuts text.
func (n *neighbours) pieces(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, last := 0, rune(-1)
		for i, r := range text {
			if last >= 0 {
				if word, bit := place(last, r); n.bits[word]&bit == 0 {
					if !yield(text[start:i]) {
						return
					}
					start = i
				}
			}
			last = r
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}
