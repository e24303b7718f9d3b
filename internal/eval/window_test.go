package eval

import (
	"errors"
	"reflect"
	"testing"

	"github.com/flashback-lm/flashback/internal/corpus"
)

func TestRecipe(t *testing.T) {
	for _, c := range []struct {
		recipe             Recipe
		count, last, width int
	}{
		{Recipe{512, 16, 1}, 31, 512, 528}, // the paper's
		{Recipe{512, 16, 4}, 8, 480, 528},  // every fourth stride, the same windows
		{Recipe{4096, 16, 1}, 255, 4096, 4112},
		{Recipe{512, 64, 1}, 8, 480, 544},
		{Recipe{32, 16, 1}, 1, 32, 48},
	} {
		contexts := c.recipe.Contexts()
		if len(contexts) != c.count || contexts[0] != 32 || contexts[c.count-1] != c.last || c.recipe.Window() != c.width {
			t.Errorf("%+v: contexts %v, windows of %d; want %d up to %d, %d", c.recipe, contexts, c.recipe.Window(), c.count, c.last, c.width)
		}
		if err := c.recipe.Check(); err != nil {
			t.Errorf("%+v: %v", c.recipe, err)
		}
	}
	for _, r := range []Recipe{{31, 16, 1}, {512, 0, 1}, {512, 16, 0}, {-1, -1, -1}} {
		if r.Check() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

func TestPositions(t *testing.T) {
	for row, want := range map[string]int{
		"none": 1 + 512 + 16, "prepend": 1 + 512 + 128 + 16, "append:echo=8:k=3": 1 + 512 + 128 + 8 + 16, "virtual:k=3": 1 + 512 + 3*128 + 16,
	} {
		r, err := ParseRow(row, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Recipe{512, 16, 1}).Positions(r); got != want {
			t.Errorf("%s takes %d positions, want %d", row, got, want)
		}
	}
}

func TestWindows(t *testing.T) {
	windows, err := Windows(documents, byteTokens{}, recipe, 2)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, w := range windows {
		ids = append(ids, w.Document)
		if w.Index != i || len(w.Tokens) != 72 {
			t.Errorf("window %d has index %d and %d tokens, want 72", i, w.Index, len(w.Tokens))
		}
	}
	if want := []string{"d0", "d2"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("windows of %v, want %v: d1 is too short", ids, want)
	}
	if _, err := Windows(documents, byteTokens{}, Recipe{4096, 16, 1}, 0); err == nil {
		t.Error("no document is long enough, and no error says so")
	}
	broken := errors.New("broken")
	_, err = Windows(func(yield func(corpus.Document, error) bool) { yield(corpus.Document{}, broken) }, byteTokens{}, recipe, 0)
	if !errors.Is(err, broken) {
		t.Errorf("a document that cannot be read gives %v", err)
	}
}
