package eval

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// articleOf has so many questions about each of its passages.
func articleOf(title string, questions ...int) []Question {
	var all []Question
	for p, n := range questions {
		for i := range n {
			id := fmt.Sprint(title, p)
			all = append(all, Question{ID: fmt.Sprint(id, ".", i), Question: "q", Answers: []string{"x"}, PassageID: id, PassageTitle: title, Passage: "text of " + id})
		}
	}
	return all
}

func TestConversations(t *testing.T) {
	questions := append(articleOf("few", 3, 3, 1), articleOf("A", 1, 2, 1, 3, 1, 1)...)
	questions = append(append(questions, articleOf("short", 1, 1, 1, 1, 1, 1)...), articleOf("B", 2, 2, 2, 2, 2, 2)...)
	conversations, err := Conversations(questions, 3, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range conversations {
		line := c.String() + ":"
		for _, turn := range c.Turns {
			var shown []string
			for _, p := range turn.Passages {
				shown = append(shown, p.ID)
				if p.Text != "text of "+p.ID || p.Title != c.Article || !p.First {
					t.Errorf("%s: %+v", c.String(), p)
				}
			}
			line += fmt.Sprintf(" %s(%s)", turn.ID, strings.Join(shown, "+"))
		}
		got = append(got, line)
	}
	want := []string{
		"same A: A1.0(A3+A1) A1.1(A3+A1) A3.0(A3+A1)",
		"new A: A0.0(A0+A3) A1.0(A1+A4) A2.0(A2+A5)",
		"same B: B0.0(B0+B1) B0.1(B0+B1) B1.0(B0+B1)",
		"new B: B0.0(B0+B3) B1.0(B1+B4) B2.0(B2+B5)",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the conversations are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if one, err := Conversations(questions, 3, 2, 1); err != nil || len(one) != 2 {
		t.Errorf("%d conversations about one article, %v", len(one), err)
	}
	for name, questions := range map[string][]Question{"few questions": articleOf("few", 3, 3), "no passages": {{ID: "x", Question: "q"}}} {
		if c, err := Conversations(questions, 3, 2, 0); err == nil {
			t.Errorf("%s: %v, want an error", name, c)
		}
	}
	found, err := Found{}.Retrieve(WithTurn(context.Background(), conversations[0].Turns[0]), retrieve.Query{Text: "any", K: 1})
	if err != nil || len(found) != 1 || found[0].ID != "A3" {
		t.Errorf("the first turn finds %v, %v", found, err)
	}
}

func TestCached(t *testing.T) {
	for _, c := range []struct {
		prompt []int32
		before [][]int32
		want   int
	}{
		{[]int32{1, 2, 3}, nil, 0},
		{[]int32{1, 2, 3, 4}, [][]int32{{1, 2, 9, 4}}, 2},
		{[]int32{1, 2, 3, 4}, [][]int32{{1, 2, 3, 4, 5, 6}}, 3}, // the prompt's last token is computed
		{[]int32{1, 2, 3, 4}, [][]int32{{1, 2, 3}}, 2},          // the text's last token was not read
		{[]int32{1, 2, 3, 4}, [][]int32{{1, 2, 3, 0}, {1, 0}}, 3},
		{[]int32{1, 2, 3, 4}, [][]int32{{1}, {}}, 0},
	} {
		if got := Cached(c.prompt, c.before); got != c.want {
			t.Errorf("Cached(%v, %v) = %d, want %d", c.prompt, c.before, got, c.want)
		}
	}
}

// TestSummariseChats has figures added up by hand.
func TestSummariseChats(t *testing.T) {
	conversations, err := Conversations(append(articleOf("A", 2, 2, 1, 1), articleOf("B", 2, 2, 1, 1)...), 2, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, err := OpenAnswers("", nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, held := qaRows(t, "virtual"), 0
	err = a.Converse(context.Background(), append([]QARow{Removed, LeftIn}, rows...), conversations[:3], 2, func(_ context.Context, r QARow, c Conversation) ([]Answer, error) {
		if c.Article == "A" && r.Pasted {
			return []Answer{{Prompt: 90, Tokens: 11, Text: "x"}, {Prompt: 190, Cached: 120, Tokens: 11, Text: "is x b"}}, nil
		}
		if r.Pasted {
			return []Answer{{Prompt: 290, Tokens: 11}, {Prompt: 390, Cached: 300, Tokens: 11}}, nil
		}
		return []Answer{{Counts: lm.Counts{Prompt: 100, Decoded: 10}}, {Counts: lm.Counts{Prompt: 20, Prefilled: 10, Decoded: 10, Reused: 99}, Text: "x"}}, nil
	}, func() { held++ })
	if err != nil || held != 9 {
		t.Fatalf("%d held, %v", held, err)
	}
	r := a.SummariseChats(rows, conversations)
	var table bytes.Buffer
	if err := r.Markdown(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 conversations of 2 turns, the same passages in every turn.",
		"| 1 | 110 | 200 | 200 | 200 | 200 |\n| 2 | 40 | 300 | 300 | 90 | 90 |\n",
		"| virtual | 0.55 (0.37 – 1.10) | 0.13 (0.10 – 0.20) | 0.13 (0.10 – 0.20) | 0.44 (0.40 – 0.50) | 0.44 (0.40 – 0.50) |",
		"| virtual | 0 | 100 | 50.0 |\n| pasted | 50 | 50 | 50.0 |\n| pasted:left | 50 | 50 | 50.0 |\n",
		"1 conversation of 2 turns, new passages in each turn.",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no\n%s\nin\n%s", want, table.String())
		}
	}
	plot := filepath.Join(t.TempDir(), "turns.svg")
	if err := r.Plot(plot); err != nil {
		t.Error(err)
	}
	if svg, err := os.ReadFile(plot); err != nil || !bytes.Contains(svg, []byte("(iii)")) {
		t.Errorf("the plot names no row: %v", err)
	}
}
