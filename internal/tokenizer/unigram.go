package tokenizer

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// unigram cuts a piece into the tokens whose scores, logarithms of their probabilities, have the highest sum.
type unigram struct {
	characters                  // what stands for characters that no token has
	begun      map[string]int32 // tokens and their beginnings: the id, -1 where it is no token
	scores     []float64        // by id
	lacking    float64          // score of a character that no token has
}

// unknownPenalty is how much less likely than the least likely token an unknown character is, as in SentencePiece.
const unknownPenalty = 10

// maxPiece bounds the tokens that are looked for, in bytes, and with it the time that a place of a text takes.
const maxPiece = 256

func (t *Tokenizer) bindUnigram() error {
	c := &t.config
	if len(c.Scores) > len(c.Tokens) { // tokens behind them were added
		return fmt.Errorf("tokenizer: %d scores for %d tokens", len(c.Scores), len(c.Tokens))
	}
	if c.Unknown < 0 {
		return fmt.Errorf("tokenizer: unigrams need an unknown token, and there is none")
	}
	u := &unigram{characters: newCharacters(t.words, c.ByteFallback, c.Unknown, true), begun: make(map[string]int32, 4*len(c.Tokens)), scores: c.Scores}
	least := math.Inf(1)
	for id, token := range c.Tokens[:len(c.Scores)] {
		if kind := t.kind(int32(id)); kind == TypeUnused || token == "" || len(token) > maxPiece {
			continue
		}
		least = min(least, c.Scores[id])
		for i := range token {
			if _, known := u.begun[token[:i]]; !known && i > 0 {
				u.begun[token[:i]] = -1
			}
		}
		u.begun[token] = int32(id)
	}
	u.lacking = least - unknownPenalty
	t.pre = preTokenizer{pieces: preTokenizers["none"].pieces}
	if c.Split {
		t.pre.pieces = wordsOf
	}
	t.model = u
	return nil
}

// way is the best way to a place of a piece: the token that ends there, and where it begins.
type way struct {
	score float64
	start int
	id    int32 // -1 where nothing has reached the place
}

func (u *unigram) appendIDs(ids []int32, piece string) []int32 {
	best := make([]way, len(piece)+1)
	for i := range best {
		best[i].id = -1
	}
	reach := func(from, to int, id int32, score float64) {
		if score += best[from].score; best[to].id < 0 || score > best[to].score {
			best[to] = way{score, from, id}
		}
	}
	for i := 0; i < len(piece); {
		_, size := utf8.DecodeRuneInString(piece[i:])
		single := false
		for end := i + size; end <= len(piece); {
			id, ok := u.begun[piece[i:end]]
			if !ok {
				break
			}
			if id >= 0 {
				reach(i, end, id, u.scores[id])
				single = single || end == i+size
			}
			if end == len(piece) {
				break
			}
			_, n := utf8.DecodeRuneInString(piece[end:])
			end += n
		}
		if !single {
			reach(i, i+size, u.unknown, u.lacking)
		}
		i += size
	}
	var ends []int // of the tokens, the last one first
	for end := len(piece); end > 0; end = best[end].start {
		ends = append(ends, end)
	}
	for i := len(ends) - 1; i >= 0; i-- {
		start, id := best[ends[i]].start, best[ends[i]].id
		if id != u.unknown {
			ids = append(ids, id)
			continue
		}
		// Unknown characters in a row are one, and become their bytes only if the vocabulary has all of those.
		for i > 0 && best[ends[i-1]].id == u.unknown {
			i--
		}
		other := piece[start:ends[i]]
		if id, ok := u.begun[other]; ok && id >= 0 { // the name of the unknown token is its own
			ids = append(ids, id)
		} else {
			ids = u.appendOther(ids, other)
		}
	}
	return ids
}
