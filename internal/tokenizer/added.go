package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Added says how a control or user-defined token is looked for in text.
type Added struct {
	LStrip, RStrip bool // it takes the blanks on that side with it
	SingleWord     bool // only where no letter, digit or underscore stands beside it
	Normalized     bool // in the text as it is normalised, not as it is written
}

// addTokens makes what finds the control and user-defined tokens, each in its kind of text.
func (t *Tokenizer) addTokens() {
	for id, token := range t.config.Tokens {
		id := int32(id)
		kind := t.kind(id)
		if token == "" || len(token) > maxSpecialBytes || kind != TypeControl && kind != TypeUnknown && kind != TypeUserDefined {
			continue
		}
		// SentencePiece's normalising puts a blank in front, with which no token would be found.
		if t.config.Added[id].Normalized && t.pre.normalize != nil && t.config.Model != "llama" {
			if token = t.pre.normalize(token); token != "" {
				t.normalized = t.normalized.with(token, id)
			}
		} else {
			t.written = t.written.with(token, id)
		}
	}
}

// cut walks through text and hands over, in order, the tokens of a trie and the text between them, never empty. Control tokens
// are text unless special is set.
func (t *Tokenizer) cut(in *trie, text string, special bool, plain func(text string), token func(id int32)) {
	start := 0
	for i := 0; in != nil && i < len(text); {
		if in.first[text[i]] == nil {
			i++
			continue
		}
		id, n := in.longest(text[i:])
		if n == 0 {
			i++
			continue
		}
		from, to := i, i+n
		i = to
		if !special && t.IsControl(id) {
			continue
		}
		how := t.config.Added[id]
		if how.SingleWord && (endsWord(text[:from]) || beginsWord(text[to:])) {
			continue
		}
		if how.LStrip {
			from = max(start, len(strings.TrimRightFunc(text[:from], unicode.IsSpace)))
		}
		if how.RStrip {
			to = len(text) - len(strings.TrimLeftFunc(text[to:], unicode.IsSpace))
		}
		if start < from {
			plain(text[start:from])
		}
		token(id)
		start, i = to, to
	}
	if start < len(text) {
		plain(text[start:])
	}
}

func inWord(r rune) bool {
	return r == '_' || unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc)
}

func endsWord(text string) bool {
	r, n := utf8.DecodeLastRuneInString(text)
	return n > 0 && inWord(r)
}

func beginsWord(text string) bool {
	r, n := utf8.DecodeRuneInString(text)
	return n > 0 && inWord(r)
}
