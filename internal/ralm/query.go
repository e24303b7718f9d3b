package ralm

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Query makes the query of a stride from the text so far, of which the first
// prompt tokens were given.
type Query func(text []int32, prompt int) string

// LastTokens is the paper's query: the last n tokens of the text.
func LastTokens(t Tokenizer, n int) Query {
	return func(text []int32, _ int) string { return ending(t, text, n) }
}

// Question is the query of a chat: the user's question at first, then the question,
// twice so that it outweighs them, and the last n tokens of the answer, never the
// template around them.
func Question(t Tokenizer, question string, n int) Query {
	return func(text []int32, prompt int) string {
		if len(text) == prompt {
			return question
		}
		return question + " " + question + " " + ending(t, text[prompt:], n)
	}
}

// InConversation returns what the last question of a conversation is looked up with:
// itself, or where it refers back ("And a windscreen?", "How old is it?") the
// questions that it goes on from, and itself twice so that its words count most. No
// model is asked: a question refers back that has four words or fewer, begins like a
// continuation, or has a pronoun; the words are English ones.
func InConversation(questions []string) string {
	last := len(questions) - 1
	from := last
	for from > 0 && refersBack(questions[from]) {
		from--
	}
	if from == last {
		return questions[last]
	}
	return strings.Join(questions[from:], " ") + " " + questions[last]
}

// shortest is how many words a question has at least that stands for itself.
const shortest = 5

var (
	continuations = []string{"and", "or", "but", "also", "then", "so"}
	pronouns      = []string{"it", "its", "they", "them", "their", "he", "him", "his", "she", "her", "this", "that", "these", "those", "there", "one", "ones"}
)

func refersBack(question string) bool {
	if strings.ContainsFunc(question, func(r rune) bool { return r >= utf8.RuneSelf && unicode.IsLetter(r) && !unicode.Is(unicode.Latin, r) }) {
		return false // other scripts have other words, and other ends of words
	}
	words := strings.FieldsFunc(strings.ToLower(question), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if len(words) < shortest || slices.Contains(continuations, words[0]) {
		return true
	}
	if about := words[1] == "about"; about && (words[0] == "what" || words[0] == "how") {
		return true
	}
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(pronouns, w) })
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
