package ralm

import (
	"strings"
	"unicode/utf8"
)

// Query makes the query of a stride from the text so far, of which the first
// prompt tokens were given.
type Query func(text []int32, prompt int) string

// LastTokens is the paper's query: the last n tokens of the text.
func LastTokens(t Tokenizer, n int) Query {
	return func(text []int32, _ int) string { return ending(t, text, n) }
}

// Question is the query of a chat: the user's question at first, then the
// question and the last n tokens of the answer, never the template around them.
func Question(t Tokenizer, question string, n int) Query {
	return func(text []int32, prompt int) string {
		return strings.TrimSpace(question + " " + ending(t, text[prompt:], n))
	}
}

// ending decodes the last n tokens, without the rest of a character that began
// before them.
func ending(t Tokenizer, text []int32, n int) string {
	s := t.Decode(text[max(0, len(text)-n):])
	for i := 0; i < utf8.UTFMax-1 && len(s) > 0 && !utf8.RuneStart(s[0]); i++ {
		s = s[1:]
	}
	return s
}
