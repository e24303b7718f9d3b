package tokenizer

import (
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// preTokenizer cuts text into the pieces within which bytes are merged. Models define theirs by a regular expression with
// look-ahead; here the expressions are written out as scanners, which never go back.
type preTokenizer struct {
	pieces     func(text string) iter.Seq[string] // the pieces of text, in order; joined they are text
	prepare    func(text string) string           // what is done to text first; nil: nothing
	wholeFirst bool                               // whether a piece that is itself a token is taken without merging
	bos        bool                               // whether texts begin with BOS where the file does not say
}

// newPreTokenizer gives a pre-tokenizer by the name that GGUF files use. Each does what the model's own tokenizer.json says:
//
//	gpt-2       's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//	smollm      every digit alone, and gpt-2 within what lies between the digits
//	llama-bpe   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//	qwen2       the same with \p{N} alone for numbers, on text in normal form C
func newPreTokenizer(name string) (preTokenizer, error) {
	switch name {
	case "gpt-2":
		return preTokenizer{pieces: piecesOf(nextGPT2)}, nil
	case "smollm":
		return preTokenizer{pieces: piecesSmolLM}, nil
	case "llama-bpe":
		return preTokenizer{pieces: piecesOf(nextLlama(3)), wholeFirst: true, bos: true}, nil
	case "qwen2":
		return preTokenizer{pieces: piecesOf(nextLlama(1)), prepare: nfc}, nil
	}
	return preTokenizer{}, fmt.Errorf("tokenizer: pre-tokenizer %q (tokenizer.ggml.pre) is not supported; gpt-2, smollm, llama-bpe and qwen2 are", clip(name))
}

// nfc brings text into Unicode's normal form C. Among more than 30 combining marks in a row, which no writing has, the norm
// package puts a joiner that the reference does not.
func nfc(text string) string { return norm.NFC.String(text) }

// plainBlanks writes blanks as SentencePiece does, perhaps with one in front of the text.
func plainBlanks(prefix bool) func(text string) string {
	return func(text string) string {
		text = strings.ReplaceAll(text, " ", blankMark)
		if prefix {
			text = blankMark + text
		}
		return text
	}
}

// piecesOf cuts text with a scanner, which gives the length of the first piece of a text that is not empty.
func piecesOf(next func(text string) int) func(text string) iter.Seq[string] {
	return func(text string) iter.Seq[string] {
		return func(yield func(string) bool) {
			for len(text) > 0 {
				n := next(text)
				if !yield(text[:n]) {
					return
				}
				text = text[n:]
			}
		}
	}
}

// piecesSmolLM takes the digits out first: to the scanner, text ends where a digit follows.
func piecesSmolLM(text string) iter.Seq[string] {
	between := piecesOf(nextGPT2)
	return func(yield func(string) bool) {
		for len(text) > 0 {
			digit, length := indexNumeric(text)
			for piece := range between(text[:digit]) {
				if !yield(piece) {
					return
				}
			}
			if length > 0 && !yield(text[digit:digit+length]) {
				return
			}
			text = text[digit+length:]
		}
	}
}

// nextGPT2 is the scanner of gpt-2.
func nextGPT2(text string) int {
	if n := contraction(text); n > 0 {
		return n
	}
	lead := 0
	if text[0] == ' ' {
		lead = 1
	}
	if c, n := first(text[lead:]); n > 0 && c != space {
		return lead + run(text[lead:], c)
	}
	return blanks(text)
}

// nextLlama makes the scanner of llama-bpe and qwen2, which differ in how many digits a number may have.
func nextLlama(digits int) func(text string) int {
	return func(text string) int {
		if n := contractionAnyCase(text); n > 0 {
			return n
		}
		c, n := first(text)
		if c == letter {
			return run(text, letter)
		}
		if c == number {
			for range digits - 1 {
				more, m := first(text[n:])
				if more != number {
					break
				}
				n += m
			}
			return n
		}
		if text[0] != '\r' && text[0] != '\n' { // one blank or other character may lead a word
			if word := run(text[n:], letter); word > 0 {
				return n + word
			}
		}
		lead := 0
		if text[0] == ' ' {
			lead = 1
		}
		if marks := run(text[lead:], other); marks > 0 {
			n = lead + marks
			for n < len(text) && (text[n] == '\r' || text[n] == '\n') {
				n++
			}
			return n
		}
		if end := strings.LastIndexAny(text[:run(text, space)], "\r\n"); end >= 0 {
			return end + 1
		}
		return blanks(text)
	}
}

// blanks is \s+(?!\S)|\s+: all blanks at the end of the text, else all but the last, which belongs to what follows, and a
// single one alone.
func blanks(text string) int {
	n := run(text, space)
	if n == len(text) {
		return n
	}
	if _, last := utf8.DecodeLastRuneInString(text[:n]); last < n {
		return n - last
	}
	return n
}

// contraction gives the length of 's, 't, 're, 've, 'm, 'll or 'd at the beginning of text, or 0.
func contraction(text string) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	switch text[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(text) >= 3 {
		switch text[1:3] {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}

// contractionAnyCase is contraction for small and capital letters; the long ſ is an s too.
func contractionAnyCase(text string) int {
	const longS = "'ſ"
	if strings.HasPrefix(text, longS) {
		return len(longS)
	}
	if len(text) == 0 || text[0] != '\'' {
		return 0
	}
	return contraction(asciiLower(text[:min(3, len(text))]))
}

// asciiLower is strings.ToLower for ASCII letters alone, so that lengths stay.
func asciiLower(text string) string {
	lower := []byte(text)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return string(lower)
}
