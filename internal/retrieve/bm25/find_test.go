package bm25

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// TestFind finds every passage by its key, alone and among others, and none that is
// deleted.
func TestFind(t *testing.T) {
	passages := randomPassages(rand.New(rand.NewPCG(50, 51)), 300)
	dir := build(t, passages[:200], BuildOptions{})
	if _, err := Add(context.Background(), dir, all(passages[200:]), BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Delete(context.Background(), dir, []string{passages[7].ID}, nil); err != nil {
		t.Fatal(err)
	}
	x := open(t, dir)
	for i, p := range passages {
		live := p.ID != passages[7].ID && (i >= 200 || !fromOneOf(p, passages[200:])) // a source that came again is new
		got, ok, err := x.Find(KeyOf(p))
		if err != nil || ok != live || ok && (got.ID != p.ID || got.Source != p.Source || got.Text != p.Text) {
			t.Fatalf("%d: %v %v %v, want %v", i, got, ok, err, p)
		}
	}
	if _, ok, err := x.Find(Key{ID: KeyOf(passages[250]).ID}); ok || err != nil {
		t.Error("a passage is found under another source", err)
	}

	other := build(t, passages[200:], BuildOptions{})
	both, err := OpenNamed([]string{dir, other}, []string{"one", "two"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	found, err := both.Retrieve(context.Background(), retrieve.Query{Text: passages[250].Text, K: 5})
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	for _, p := range found {
		part, k, ok := both.KeyOf(p)
		if !ok || (p.Source[:4] == "one/") != (part == 0) || p.Source[3] != '/' {
			t.Fatalf("%q is of part %d, %v", p.Source, part, ok)
		}
		if got, ok, err := open(t, both.Parts()[part].Dir).Find(k); !ok || err != nil || got.Text != p.Text {
			t.Errorf("%q is not found by its key: %v", p.ID, err)
		}
	}
}

func fromOneOf(p retrieve.Passage, others []retrieve.Passage) bool {
	for _, q := range others {
		if q.Source == p.Source {
			return true
		}
	}
	return false
}

// TestEmptyGrows makes an index without passages: it opens, finds nothing, and grows.
func TestEmptyGrows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	if err := Empty(context.Background(), dir, BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, "fox")
	before := open(t, dir).Info().Generation
	add(t, dir, retrieve.Passage{ID: "1", Source: "a", Text: "red fox"})
	expect(t, dir, "fox", "a")
	if after := open(t, dir); after.Info().Generation <= before || after.Size() < 100 {
		t.Errorf("generation %d after %d, %d bytes", after.Info().Generation, before, after.Size())
	}
	if _, err := Delete(context.Background(), dir, nil, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if err := Compact(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, "fox")
	unlock, err := lockIndex(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := Empty(context.Background(), dir, BuildOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("of a locked index: %v", err)
	}
}
