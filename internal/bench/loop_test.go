package bench

import (
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// letters is a tokenizer whose tokens are bytes.
func letters(text string) []int32 {
	var tokens []int32
	for _, b := range []byte(text) {
		tokens = append(tokens, int32(b))
	}
	return tokens
}

// documents yields n random documents of 100 letters each.
func documents(n int) iter.Seq2[corpus.Document, error] {
	return func(yield func(corpus.Document, error) bool) {
		r := rand.New(rand.NewPCG(1, 2))
		for range n {
			var text strings.Builder
			for range 100 {
				text.WriteByte(byte('a' + r.IntN(26)))
			}
			if !yield(corpus.Document{Text: text.String()}, nil) {
				return
			}
		}
	}
}

func newText(t testing.TB, docs int) *Text {
	text := NewText(documents(docs), letters)
	t.Cleanup(text.Close)
	return text
}

func withEcho(t testing.TB, p placement.Placement, n int) placement.Placement {
	p, err := p.WithEcho(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLoop measures every placement on the tiny model. What is expected is
// written out by hand from the design's placement table.
func TestLoop(t *testing.T) {
	steps := 0
	o := LoopOptions{
		Placements: []placement.Placement{placement.Virtual, placement.Append, withEcho(t, placement.Append, 6), placement.Prepend, placement.None},
		Contexts:   []int{40, 100}, Passages: []int{1, 3}, Evidence: 33, Stride: 8, Rounds: 2,
		Step: func() { steps++ },
	}
	rows, err := Loop(context.Background(), modeltest.Tiny(1), engine.Options{Threads: 1, Compute: engine.Exact}, newText(t, 100), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := o.Measurements(); steps != want {
		t.Errorf("%d measurements were announced and %d made", want, steps)
	}
	type counts struct {
		name                                       string
		context, k                                 int
		prefilled, decoded, reused, evidenceReused int
		pages                                      int
	}
	// A page holds 32 tokens; a passage takes 2, a tail 1.
	want := []counts{
		{"virtual cold", 40, 1, 8 + 1 + 33, 7, 31, 0, 2 + 2 + 1},
		{"virtual warm", 40, 1, 8 + 1, 7, 31, 33, 2 + 2 + 1},
		{"append", 40, 1, 8 + 33, 7, 32, 0, 2 + 2 + 1},
		{"append echo 6", 40, 1, 8 + 33 + 6, 7, 32, 0, 2 + 2 + 1},
		{"prepend", 40, 1, 33 + 40, 7, 0, 0, 2 + 2},
		{"none", 40, 0, 0, 8, 39, 0, 2},
		{"virtual cold", 40, 3, 8 + 1 + 3*33, 7, 31, 0, 2 + 3*2 + 1},
		{"virtual warm", 40, 3, 8 + 1, 7, 31, 3 * 33, 2 + 3*2 + 1},
		{"append", 40, 3, 8 + 3*33, 7, 32, 0, 2 + 3*(2+1)},
		{"append echo 6", 40, 3, 8 + 3*(33+6), 7, 32, 0, 2 + 3*(2+1)},
		{"prepend", 40, 3, 3 * (33 + 40), 7, 0, 0, 3 * (2 + 2)},
		{"virtual cold", 100, 1, 8 + 1 + 33, 7, 91, 0, 4 + 2 + 1},
		{"virtual warm", 100, 1, 8 + 1, 7, 91, 33, 4 + 2 + 1},
		{"append", 100, 1, 8 + 33, 7, 92, 0, 4 + 2 + 1},
		{"append echo 6", 100, 1, 8 + 33 + 6, 7, 92, 0, 4 + 2 + 1},
		{"prepend", 100, 1, 33 + 100, 7, 0, 0, 2 + 4},
		{"none", 100, 0, 0, 8, 99, 0, 4},
		{"virtual cold", 100, 3, 8 + 1 + 3*33, 7, 91, 0, 4 + 3*2 + 1},
		{"virtual warm", 100, 3, 8 + 1, 7, 91, 3 * 33, 4 + 3*2 + 1},
		{"append", 100, 3, 8 + 3*33, 7, 92, 0, 4 + 3*(2+1)},
		{"append echo 6", 100, 3, 8 + 3*(33+6), 7, 92, 0, 4 + 3*(2+1)},
		{"prepend", 100, 3, 3 * (33 + 100), 7, 0, 0, 3 * (2 + 4)},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows instead of %d", len(rows), len(want))
	}
	for i, r := range rows {
		got := counts{r.Name(), r.Context, r.Passages, r.Prefilled, r.Decoded, r.Reused, r.EvidenceReused, r.KVPages}
		if got != want[i] {
			t.Errorf("row %d\n got %+v\nwant %+v", i, got, want[i])
		}
		// Two layers of 2 KV heads of 16, keys and values, 4 bytes each.
		if bytes := int64(r.KVPages) * kvcache.PageTokens * 2 * 2 * 16 * 2 * 4; r.KVBytes != bytes {
			t.Errorf("row %d: %d bytes instead of %d", i, r.KVBytes, bytes)
		}
		if !(r.MinMSPerToken > 0 && r.MinMSPerToken <= r.MSPerToken && r.MSPerToken <= r.MaxMSPerToken) || r.RatioToPrepend <= 0 {
			t.Errorf("row %d: times %v ≤ %v ≤ %v, ratio %v", i, r.MinMSPerToken, r.MSPerToken, r.MaxMSPerToken, r.RatioToPrepend)
		}
	}
}

func TestLoopRefuses(t *testing.T) {
	valid := LoopOptions{Placements: placement.All, Contexts: []int{40}, Passages: []int{1}, Evidence: 10, Stride: 8, Rounds: 1}
	for name, c := range map[string]struct {
		docs int
		edit func(*LoopOptions)
		want string
	}{
		"context beyond the model": {100, func(o *LoopOptions) { o.Contexts = []int{40, 2049} }, "2049 tokens is longer than the model's 2048 positions"},
		"evidence beyond it":       {100, func(o *LoopOptions) { o.Passages, o.Stride = []int{1, 203}, 9 }, "leave 9 of the model's 2048 positions"},
		"context of a stride":      {100, func(o *LoopOptions) { o.Contexts = []int{9} }, "too short"},
		"no context":               {100, func(o *LoopOptions) { o.Contexts = nil }, "nothing to measure"},
		"no passages":              {100, func(o *LoopOptions) { o.Passages = []int{0} }, "at least 1"},
		"too little text":          {0, func(*LoopOptions) {}, "the text ends after 0 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			o := valid
			c.edit(&o)
			_, err := Loop(context.Background(), modeltest.Tiny(1), engine.Options{Threads: 1, Compute: engine.Exact}, newText(t, c.docs), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestFit: virtual counts all its passages, the others one a branch.
func TestFit(t *testing.T) {
	o := LoopOptions{Placements: placement.All, Contexts: []int{40, 1800, 2040, 2048}, Passages: []int{1, 4}, Evidence: 50, Stride: 16, Rounds: 1}
	for name, c := range map[string]struct {
		edit func(*LoopOptions)
		want []int
	}{
		"all":     {func(*LoopOptions) {}, []int{40, 1800, 2048 - 4*50 - 16}},
		"prepend": {func(o *LoopOptions) { o.Placements = []placement.Placement{placement.Prepend} }, []int{40, 1800, 2048 - 50 - 16}},
		"echo":    {func(o *LoopOptions) { o.Placements = []placement.Placement{withEcho(t, placement.Append, 16)} }, []int{40, 1800, 2048 - 50 - 16 - 16}},
		"none":    {func(o *LoopOptions) { o.Placements = []placement.Placement{placement.None} }, []int{40, 1800, 2048 - 16}},
	} {
		t.Run(name, func(t *testing.T) {
			edited := o
			c.edit(&edited)
			got, err := edited.Fit(2048)
			if err != nil || !slices.Equal(got.Contexts, c.want) {
				t.Errorf("contexts %v, %v, want %v", got.Contexts, err, c.want)
			}
			again, err := got.Fit(2048)
			if err != nil || !slices.Equal(again.Contexts, c.want) {
				t.Errorf("fitted again: %v, %v", again.Contexts, err)
			}
			if o.Contexts[3] != 2048 {
				t.Error("the caller's contexts were changed")
			}
		})
	}
}

// TestLoopToTheEnd: the last stride that fits is measured.
func TestLoopToTheEnd(t *testing.T) {
	w := modeltest.Tiny(1)
	w.Config.Context = 96
	o := LoopOptions{Placements: placement.All, Contexts: []int{96}, Passages: []int{2}, Evidence: 20, Stride: 8, Rounds: 1}
	rows, err := Loop(context.Background(), w, engine.Options{Threads: 1, Compute: engine.Exact}, newText(t, 100), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Context != 96-2*20-8 {
			t.Errorf("%s was measured at %d", r.Name(), r.Context)
		}
	}
}

// TestPagesOfOneRound: the first round copies the page that the forks share, and
// counts it once.
func TestPagesOfOneRound(t *testing.T) {
	o := LoopOptions{Placements: placement.All, Contexts: []int{44}, Passages: []int{2}, Evidence: 20, Stride: 8, Rounds: 1}
	rows, err := Loop(context.Background(), modeltest.Tiny(1), engine.Options{Threads: 1}, newText(t, 100), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2 + 2 + 1, 2 + 2 + 1, 2 + 2*(1+1), 2 * (1 + 2), 2} {
		if got := rows[i].KVPages; got != want {
			t.Errorf("%s holds %d pages, want %d", rows[i].Name(), got, want)
		}
	}
}

func TestPassagesDiffer(t *testing.T) {
	repeated := func(yield func(corpus.Document, error) bool) {
		for _, text := range []string{"aaaaaaa", "aaaaaaa", "bbbbbbb"} {
			if !yield(corpus.Document{Text: text}, nil) {
				return
			}
		}
	}
	text := NewText(repeated, letters) // each document takes 10 tokens: newline, text, two newlines
	defer text.Close()
	got, err := text.Passages(2, 10)
	if err != nil {
		t.Fatal(err)
	}
	if string(rune(got[0][1])) != "a" || string(rune(got[1][1])) != "b" {
		t.Errorf("passages %v: a repeated one was not left out", got)
	}
}
