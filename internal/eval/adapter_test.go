package eval

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/flashback-lm/flashback/internal/ralm"
)

// TestMarksComeFromTheAdapter checks that a row's evidence has the marks of its
// adapter, and of no other.
func TestMarksComeFromTheAdapter(t *testing.T) {
	s := newSmall(t, "append", "append:adapter=a", "append:adapter=plain")
	s.Adapters = map[string]Adapter{"a": {Digest: "1", Marks: &ralm.Marks{Left: 7, Right: 8}}, "plain": {Digest: "2"}}
	strides, err := s.strides(t.Context(), s.windows[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, marked := range []bool{false, true, false} {
		_, evidence := s.place(s.Rows[i], s.Rows[i].shown(strides[0])[0])
		tokens := evidence[0].Tokens
		if got := tokens[0] == 7 && tokens[len(tokens)-1] == 8; got != marked {
			t.Errorf("row %s: marks %v", s.Rows[i], got)
		}
	}
}

// TestLogKeepsAdaptersApart goes on with a log whose adapter of the same name has
// changed: its scores must not be taken.
func TestLogKeepsAdaptersApart(t *testing.T) {
	s := newSmall(t, "none", "none:adapter=a")
	path := filepath.Join(t.TempDir(), "scores.jsonl")
	for _, digest := range []string{"old", "new", "old"} {
		s.Adapters = map[string]Adapter{"a": {Digest: digest}}
		log, err := OpenLog(path, settings, s.windows)
		if err != nil {
			t.Fatal(err)
		}
		log.Use(s.Adapters)
		if digest == "new" && log.Has(s.Rows[1], s.windows[0]) {
			t.Error("a score of another adapter was taken")
		}
		if digest == "new" && !log.Has(s.Rows[0], s.windows[0]) {
			t.Error("a score without an adapter was lost")
		}
		s.sequences = 0
		s.run(t, log)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s.sequences != 0 {
		t.Error("scores of the first adapter were lost")
	}
}

func TestDrawIsTheSameEachTime(t *testing.T) {
	s := newSmall(t, "append:random:k=3")
	ps := &Passages{Len: len(s.shelf.passages), Read: s.shelf.read}
	w := s.windows[0]
	w.Document = "p4" // never to be drawn
	seen := map[string]bool{}
	for context := range 200 {
		a, err := ps.draw(3, w, context)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := ps.draw(3, w, context)
		if !reflect.DeepEqual(a, b) || len(a) != 3 {
			t.Fatalf("drew %v, then %v", a, b)
		}
		for _, p := range a {
			seen[p.ID] = true
		}
	}
	if seen["p4#0"] || len(seen) != len(s.shelf.passages)-1 {
		t.Errorf("drew %v", seen)
	}
	if all, err := ps.draw(100, w, 32); err != nil || len(all) != ps.Len-1 {
		t.Errorf("of too few passages %d were drawn: %v", len(all), err)
	}
}
