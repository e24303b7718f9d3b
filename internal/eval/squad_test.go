package eval

import (
	"math"
	"testing"
)

// TestSQuAD has what evaluate-v2.0.py gives for these answers.
func TestSQuAD(t *testing.T) {
	for _, c := range []struct {
		answer string
		right  []string
		exact  bool
		f1     float64
	}{
		{"The Eiffel Tower!", []string{"eiffel tower"}, true, 1},
		{"in Paris, France", []string{"Paris"}, false, 0.5},
		{"Copernicus", []string{"Nicolaus Copernicus", "Copernicus"}, true, 1},
		{"Nicolaus", []string{"Nicolaus Copernicus"}, false, 2.0 / 3},
		{"a cat a cat", []string{"cat"}, false, 2.0 / 3},
		{"cat", []string{"a cat and a cat"}, false, 0.5},
		{"U.S.A.", []string{"USA"}, true, 1},
		{"well-known", []string{"wellknown"}, true, 1},
		{"well known", []string{"well-known"}, false, 0},
		{"", []string{"x"}, false, 0},
		{"the", []string{"x"}, false, 0},
		{"", []string{"the"}, true, 1},   // nothing is left of the right answer: no answer is right
		{"x", []string{"the"}, false, 0}, // and a word is wrong
		{"the", []string{"the", "x"}, false, 0},
		{"théa an", []string{"THÉA"}, true, 1}, // an article inside a word stays
		{"–the–x", []string{"– –x"}, true, 1},  // punctuation beyond ASCII bounds words and stays
		{"two  \t words", []string{"two words"}, true, 1},
	} {
		if got := ExactMatch(c.answer, c.right); got != c.exact {
			t.Errorf("ExactMatch(%q, %q) = %v", c.answer, c.right, got)
		}
		if got := F1(c.answer, c.right); math.Abs(got-c.f1) > 1e-12 {
			t.Errorf("F1(%q, %q) = %v, want %v", c.answer, c.right, got, c.f1)
		}
	}
}

// TestInAnswer: whole words in their order, wherever they stand.
func TestInAnswer(t *testing.T) {
	for _, c := range []struct {
		answer string
		right  []string
		want   bool
	}{
		{"It was built in Paris, France.", []string{"paris"}, true},
		{"It was built in Paris, France.", []string{"The Paris France"}, true},
		{"It was built in Paris, France.", []string{"France Paris"}, false},
		{"The parish was rich.", []string{"paris"}, false},
		{"Nicolaus the Copernicus", []string{"Nicolaus Copernicus"}, true},
		{"in 1,871 years", []string{"1871"}, true},
		{"12 or 13", []string{"3"}, false},
		{"one", []string{"two", "one"}, true},
		{"", []string{"x"}, false},
		{"x", []string{"the"}, false}, // nothing is left of the right answer
		{"", []string{""}, false},
	} {
		if got := InAnswer(c.answer, c.right); got != c.want {
			t.Errorf("InAnswer(%q, %q) = %v", c.answer, c.right, got)
		}
	}
}
