package bench

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
)

// Text gives the tokens of real documents in order, each of them once.
type Text struct {
	next    func() (line string, err error, ok bool)
	stop    func()
	encode  func(string) []int32
	waiting []int32 // encoded, not given yet
	given   int
}

// NewText returns the text of docs, which are read and encoded as far as tokens
// are taken. Documents that cannot be read are left out. Close the text.
func NewText(docs iter.Seq2[corpus.Document, error], encode func(string) []int32) *Text {
	t := &Text{encode: encode}
	t.next, t.stop = iter.Pull2(lines(docs))
	return t
}

// Close stops the reading.
func (t *Text) Close() { t.stop() }

// lines yields titles and texts line by line, so that of a long document only
// what is needed is encoded.
func lines(docs iter.Seq2[corpus.Document, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for doc, err := range docs {
			if _, unreadable := errors.AsType[*corpus.FileError](err); unreadable {
				continue
			}
			if err != nil {
				yield("", err)
				return
			}
			for line := range strings.Lines(doc.Title + "\n" + doc.Text + "\n\n") {
				if !yield(line, nil) {
					return
				}
			}
		}
	}
}

// Take returns the next n tokens.
func (t *Text) Take(n int) ([]int32, error) {
	for len(t.waiting) < n {
		line, err, ok := t.next()
		if !ok {
			return nil, fmt.Errorf("the text ends after %d tokens and at least %d more are needed: take a longer text, shorter contexts or fewer rounds", t.given+len(t.waiting), n-len(t.waiting))
		}
		if err != nil {
			return nil, err
		}
		t.waiting = append(t.waiting, t.encode(line)...)
	}
	out := slices.Clone(t.waiting[:n])
	t.waiting = t.waiting[n:]
	t.given += n
	return out, nil
}

// Passages returns count different passages of n tokens each.
func (t *Text) Passages(count, n int) ([][]int32, error) {
	var passages [][]int32
	seen := map[string]bool{}
	for len(passages) < count {
		p, err := t.Take(n)
		if err != nil {
			return nil, err
		}
		if key := fmt.Sprint(p); !seen[key] {
			seen[key] = true
			passages = append(passages, p)
		}
	}
	return passages, nil
}
