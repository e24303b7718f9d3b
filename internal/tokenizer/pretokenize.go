package tokenizer

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// preTokenizer cuts text into the pieces within which bytes or characters are merged. Models define theirs by a regular
// expression with look-ahead; here the expressions are written out as scanners, which never go back.
type preTokenizer struct {
	pieces     func(text string) iter.Seq[string] // the pieces of text, in order; joined they are text
	normalize  func(text string) string           // what is done to text first; nil: nothing
	wholeFirst bool                               // whether a piece that is itself a token is taken without merging
	bos        bool                               // whether texts begin with BOS where the file does not say
}

// preTokenizers are those of byte-level BPE, by the name that GGUF files use. Each does what the model's own tokenizer.json says:
//
//	gpt-2       's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//	smollm      every digit alone, and gpt-2 within what lies between the digits
//	llama-bpe   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//	qwen2       the same with \p{N} alone for numbers, on text in normal form C
//	gpt-4o      as llama-bpe, but words are cut where small letters are followed by capital ones, and contractions end words
//	tekken      the same with \p{N} alone for numbers and without contractions
//	default     runs of punctuation, what gpt-2 makes of the rest, numbers without their blank, and in those three ASCII digits each:
//	            what llama.cpp does where a file of before May 2024 does not say
//	none        one piece
var preTokenizers = map[string]preTokenizer{
	"gpt-2":     {pieces: piecesOf(nextGPT2)},
	"smollm":    {pieces: piecesSmolLM},
	"llama-bpe": {pieces: piecesOf(nextLlama(3)), wholeFirst: true, bos: true},
	"dbrx":      {pieces: piecesOf(nextLlama(3))}, // llama-bpe without what else its name stands for
	"qwen2":     {pieces: piecesOf(nextLlama(1)), normalize: normalizer(preSteps["qwen2"])},
	"gpt-4o":    {pieces: piecesOf(nextGPT4o(3, true))},
	"tekken":    {pieces: piecesOf(nextGPT4o(1, false)), wholeFirst: true, bos: true},
	"default":   {pieces: piecesDefault},
	"none": {pieces: func(text string) iter.Seq[string] {
		return func(yield func(string) bool) { _ = text == "" || yield(text) }
	}},
}

// preSteps are what is done to text first.
var preSteps = map[string][]Step{"qwen2": {{Kind: "NFC"}}}

// preAliases are other names of those.
var preAliases = map[string]string{
	"llama3": "llama-bpe", "llama-v3": "llama-bpe", "falcon3": "llama-bpe", "falcon-h1": "llama-bpe", "pixtral": "llama-bpe", "midm-2.0": "llama-bpe", "lfm2": "llama-bpe",
	"smaug-bpe": "dbrx", "deepseek-r1-qwen": "qwen2", "kormo": "qwen2", "llama4": "gpt-4o",
	"phi-2": "gpt-2", "jina-es": "gpt-2", "jina-de": "gpt-2", "jina-v2-es": "gpt-2", "jina-v2-de": "gpt-2", "gigachat": "gpt-2", "mpt": "gpt-2", "olmo": "gpt-2",
	"jais": "gpt-2", "trillion": "gpt-2", "granite-docling": "gpt-2", "a.x-4.0": "gpt-2", "mellum": "gpt-2", "modern-bert": "gpt-2",
	"starcoder": "smollm", "refact": "smollm", "command-r": "smollm", "codeshell": "smollm", "exaone": "smollm", "minerva-7b": "smollm",
}

// preName gives a pre-tokenizer's own name; "" is default.
func preName(name string) string {
	if own, ok := preAliases[name]; ok {
		return own
	}
	return cmp.Or(name, "default")
}

// newPreTokenizer gives a pre-tokenizer by name.
func newPreTokenizer(name string) (preTokenizer, error) {
	pre, ok := preTokenizers[preName(name)]
	if !ok {
		return pre, fmt.Errorf("tokenizer: the pre-tokenizer %q (tokenizer.ggml.pre) is not supported; %s and what cuts text as they do are",
			clip(name), strings.Join(slices.Sorted(maps.Keys(preTokenizers)), ", "))
	}
	return pre, nil
}

// piecesDefault cuts step by step, as the comment of preTokenizers says.
func piecesDefault(text string) iter.Seq[string] {
	words := piecesOf(nextGPT2)
	return func(yield func(string) bool) {
		for mark := range piecesOf(nextMarks)(text) {
			for word := range words(mark) {
				for number := range piecesOf(nextNumber)(word) {
					for piece := range piecesOf(nextThree)(number) {
						if !yield(piece) {
							return
						}
					}
				}
			}
		}
	}
}

// nextMarks gives a run of punctuation, or what is in front of it.
func nextMarks(text string) int {
	return nextRun(text, func(r rune) bool { return strings.ContainsRune("$+<=>^~|", r) || unicode.IsPunct(r) })
}

// nextNumber gives a run of digits, or what is in front of it.
func nextNumber(text string) int {
	return nextRun(text, func(r rune) bool { return classOf(r) == number })
}

// nextRun gives the length of a run of characters for which is holds, or of what is in front of it.
func nextRun(text string, is func(rune) bool) int {
	at := strings.IndexFunc(text, is)
	if at < 0 {
		return len(text)
	}
	if at > 0 {
		return at
	}
	if n := strings.IndexFunc(text, func(r rune) bool { return !is(r) }); n > 0 {
		return n
	}
	return len(text)
}

// nextThree gives three ASCII digits, or what is in front of them.
func nextThree(text string) int {
	digits := 0
	for i := range len(text) {
		if '0' <= text[i] && text[i] <= '9' {
			digits++
		} else {
			digits = 0
		}
		if digits == 3 {
			if i == 2 {
				return 3
			}
			return i - 2
		}
	}
	return len(text)
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

// nextGPT4o makes the scanner of gpt-4o and tekken, which differ in how many digits a number may have and in contractions. A
// word has capital letters and then small ones; letters without case are both.
func nextGPT4o(digits int, contractions bool) func(text string) int {
	rest := nextLlama(digits)
	return func(text string) int {
		c, n := first(text)
		lead := 0
		if c != letter && c != number && text[0] != '\r' && text[0] != '\n' {
			lead = n
		}
		for _, cut := range []func(string) int{smallWord, capitalWord} {
			for _, from := range []int{lead, 0} {
				if word := cut(text[from:]); word > 0 {
					word += from
					if contractions {
						word += contractionAnyCase(text[word:])
					}
					return word
				}
			}
		}
		if c == number {
			return rest(text)
		}
		lead = 0
		if text[0] == ' ' {
			lead = 1
		}
		if marks := run(text[lead:], other); marks > 0 {
			n = lead + marks
			for n < len(text) && strings.IndexByte("\r\n/", text[n]) >= 0 {
				n++
			}
			return n
		}
		return rest(text)
	}
}

// smallWord gives the length of capital letters, if any, and then small ones, at least one.
func smallWord(text string) int {
	end := 0 // behind the last letter of the capital ones that may be a small one
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		small, capital := cases(r)
		if !capital {
			if !small {
				return end
			}
			return i + smallRun(text[i:])
		}
		i += n
		if small {
			end = i
		}
	}
	return end
}

// capitalWord gives the length of capital letters, at least one, and then small ones, if any.
func capitalWord(text string) int {
	i := 0
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		if _, capital := cases(r); !capital {
			break
		}
		i += n
	}
	if i == 0 {
		return 0
	}
	return i + smallRun(text[i:])
}

func smallRun(text string) int {
	i := 0
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		if small, _ := cases(r); !small {
			break
		}
		i += n
	}
	return i
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
