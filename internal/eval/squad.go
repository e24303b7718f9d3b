package eval

import (
	"strings"
	"unicode"
)

// ExactMatch reports whether an answer is one of the right ones, as SQuAD's script
// (evaluate-v2.0.py) compares them: without case, punctuation, articles and blanks.
func ExactMatch(answer string, right []string) bool {
	got := normalise(answer)
	for _, r := range gold(right) {
		if normalise(r) == got {
			return true
		}
	}
	return false
}

// InAnswer reports whether the words of a right one stand in an answer, in their order
// and side by side, after what ExactMatch leaves out: what a reader looks for in a
// sentence.
func InAnswer(answer string, right []string) bool {
	got := " " + normalise(answer) + " "
	for _, r := range gold(right) {
		if want := normalise(r); want != "" && strings.Contains(got, " "+want+" ") {
			return true
		}
	}
	return false
}

// F1 returns the harmonic mean of precision and recall of an answer's words against
// the right answer that gives the most, as SQuAD's script does.
func F1(answer string, right []string) float64 {
	best := 0.0
	got := strings.Fields(normalise(answer))
	for _, r := range gold(right) {
		best = max(best, overlap(got, strings.Fields(normalise(r))))
	}
	return best
}

// gold leaves out right answers of which nothing is left; if none stays, it is that
// there is no answer.
func gold(right []string) []string {
	var some []string
	for _, r := range right {
		if normalise(r) != "" {
			some = append(some, r)
		}
	}
	if len(some) == 0 {
		return []string{""}
	}
	return some
}

func overlap(got, want []string) float64 {
	if len(got) == 0 || len(want) == 0 {
		if len(got) == len(want) {
			return 1
		}
		return 0
	}
	counts := map[string]int{}
	for _, w := range want {
		counts[w]++
	}
	same := 0
	for _, w := range got {
		if counts[w] > 0 {
			counts[w]--
			same++
		}
	}
	if same == 0 {
		return 0
	}
	precision, recall := float64(same)/float64(len(got)), float64(same)/float64(len(want))
	return 2 * precision * recall / (precision + recall)
}

// punctuation is Python's string.punctuation: ASCII only.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// normalise is normalize_answer of the script: lower case, then no punctuation, then
// no articles, then single blanks.
func normalise(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && strings.ContainsRune(punctuation, r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
	return strings.Join(strings.Fields(withoutArticles(s)), " ")
}

// withoutArticles puts a blank for each run of letters and digits that is an article.
func withoutArticles(s string) string {
	var b strings.Builder
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return !inWord(r) })
		if end < 0 {
			end = len(s)
		}
		switch word := s[:end]; word {
		case "a", "an", "the":
			b.WriteByte(' ')
		default:
			b.WriteString(word)
		}
		s = s[end:]
		next := strings.IndexFunc(s, inWord)
		if next < 0 {
			next = len(s)
		}
		b.WriteString(s[:next])
		s = s[next:]
	}
	return b.String()
}
