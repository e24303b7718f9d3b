package eval

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
)

func qaRows(t *testing.T, names ...string) []QARow {
	t.Helper()
	rows, err := ParseQARows(names)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func questionsOf(t *testing.T, text string) []Question {
	t.Helper()
	questions, err := parseQuestions(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	return questions
}

// TestAnswersGoOn stops after each question: the file and the table are those of
// one run, and no question is asked twice.
func TestAnswersGoOn(t *testing.T) {
	questions := questionsOf(t, `{"question":"who","answers":["A man"]}
{"id":"x","question":"where","answers":["here","there"]}
`)
	rows := qaRows(t, "none", "virtual")
	path := filepath.Join(t.TempDir(), "answers.jsonl")
	asked, stop := 0, errors.New("stop")
	for range 5 {
		a, err := OpenAnswers(path, "settings")
		if err != nil {
			t.Fatal(err)
		}
		once := false
		err = a.Ask(context.Background(), rows, questions, 1, func(_ context.Context, r QARow, q Question) (Answer, error) {
			if once {
				return Answer{}, stop
			}
			once = true
			asked++
			return Answer{Text: map[string]string{"who": "the man", "where": "over there"}[q.Question]}, nil
		}, func() {})
		if err != nil && !errors.Is(err, stop) {
			t.Fatal(err)
		}
		var table bytes.Buffer
		if err := a.Summarise(rows, questions, "").Markdown(&table); err != nil {
			t.Fatal(err)
		}
		if done := strings.Contains(table.String(), "2 questions;"); done != (asked == 4) {
			t.Errorf("after %d answers the table is\n%s", asked, table.String())
		} else if done && !strings.Contains(table.String(), "| virtual | 100.0 (100.0 – 100.0) | 50.0 (0.0 – 100.0) | 83.3 (66.7 – 100.0) | - | 0 |") {
			t.Errorf("the table is\n%s", table.String())
		}
		a.Close()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"row":"no`)
		f.Close()
	}
	if asked != 4 {
		t.Errorf("asked %d times, want 4", asked)
	}
	for name, c := range map[string]struct{ text, want string }{
		"other settings":  {`"others"` + "\n", ":1: the answers are of other settings"},
		"torn first line": {`"sett`, "no whole line"},
		"no answer":       {`"settings"` + "\n{\n", ":2: not an answer"},
		"no share":        {`"settings"` + "\n" + `{"f1":2}` + "\n", ":2: F1 is 2"},
		"no time":         {`"settings"` + "\n" + `{"ms":-1}` + "\n", ":2: it took -1 ms"},
		"no tokens":       {`"settings"` + "\n" + `{"counts":{"prompt":-1}}` + "\n", ":2: -1 tokens were computed for 0"},
		"no prompt":       {`"settings"` + "\n" + `{"prompt":3,"cached":4}` + "\n", ":2: 4 of 3 tokens"},
	} {
		bad := filepath.Join(t.TempDir(), "bad.jsonl")
		if err := os.WriteFile(bad, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAnswers(bad, "settings"); err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want the file and %q", name, err, c.want)
		}
		if left, err := os.ReadFile(bad); err != nil || string(left) != c.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// TestAskAtOnce: so many are asked at once and no more, each once, and every answer
// is kept.
func TestAskAtOnce(t *testing.T) {
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "{\"question\":\"q%d\",\"answers\":[\"a%d\"]}\n", i, i)
	}
	questions, rows := questionsOf(t, text.String()), qaRows(t, "none", "pasted", "virtual")
	a, err := OpenAnswers("", nil)
	if err != nil {
		t.Fatal(err)
	}
	const atOnce = 4
	var now, most, done atomic.Int32
	full := make(chan struct{})
	err = a.Ask(context.Background(), rows, questions, atOnce, func(_ context.Context, r QARow, q Question) (Answer, error) {
		n := now.Add(1)
		defer now.Add(-1)
		if most.Store(max(most.Load(), n)); n == atOnce && done.Load() == 0 {
			close(full)
		}
		<-full // nobody goes on before all of the first ones are at it
		return Answer{Text: r.String() + " says " + strings.Replace(q.Question, "q", "a", 1)}, nil
	}, func() { done.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	if most.Load() != atOnce || done.Load() != 60 {
		t.Errorf("%d at once and %d done, want %d and 60", most.Load(), done.Load(), atOnce)
	}
	for _, row := range a.Summarise(rows, questions, "").Rows {
		if row.InAnswer.Value != 100 {
			t.Errorf("%s: %.0f %% right", row.Row, row.InAnswer.Value)
		}
	}
}

// TestSummariseAnswers has figures added up by hand.
func TestSummariseAnswers(t *testing.T) {
	questions := questionsOf(t, `{"id":"1","question":"q","answers":["a b"],"passage_id":"d1"}
{"id":"2","question":"q","answers":["c"],"passage_id":"d2"}
{"id":"3","question":"q","answers":["d"],"passage_id":"d3"}
{"id":"4","question":"q","answers":["e"],"passage_id":"d4"}
`)
	rows := qaRows(t, "pasted", "virtual:stride=16")
	a, err := OpenAnswers("", nil)
	if err != nil {
		t.Fatal(err)
	}
	give := func(row, id, text string, right bool, computed int, strides ...[]string) {
		a.add(Answer{Row: row, ID: id, Text: text, InAnswer: right, Counts: lm.Counts{Prompt: computed / 2, Prefilled: computed / 4, Decoded: computed / 4, Reused: 1000}, MS: float64(10 * computed), Strides: strides})
	}
	give("pasted", "1", "", true, 100, []string{"d1#0", "d9#0"})
	give("pasted", "2", "", true, 200, []string{"d8#0", "d20#0"}) // d20 is not d2
	give("pasted", "3", "", false, 300, []string{"d3"})
	give("pasted", "4", "", true, 4000) // the other row has no answer to it
	give("virtual:stride=16", "1", "", true, 100, []string{"d1#0"}, []string{"d9#0"})
	give("virtual:stride=16", "2", "", false, 100, []string{"d2#128"}, []string{"d2#0"}, []string{"d2#0"})
	give("virtual:stride=16", "3", "", false, 100, []string{"d4"})
	r := a.Summarise(rows, questions, "pasted")
	var table bytes.Buffer
	if err := r.Markdown(&table); err != nil {
		t.Fatal(err)
	}
	const want = `3 questions; 95 % intervals, those of differences paired; tokens and ms a question.

| row | in answer, % | against pasted | exact match, % | F1, % | gold shown by stride, % | tokens computed | × pasted | ms |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
| pasted | 66.7 (0.0 – 100.0) | - | 0.0 (0.0 – 0.0) | 0.0 (0.0 – 0.0) | 67 | 200 | - | 2000 |
| virtual:stride=16 | 33.3 (0.0 – 100.0) | -33.3 (-100.0 – +0.0) | 0.0 (0.0 – 0.0) | 0.0 (0.0 – 0.0) | 67 / 50 / 100 | 100 | 0.50 | 1000 |
`
	if table.String() != want {
		t.Errorf("the table is\n%s", table.String())
	}
	plot := filepath.Join(t.TempDir(), "rows.png")
	if err := r.Plot(plot, "title"); err != nil {
		t.Error(err)
	}
	if png, err := os.ReadFile(plot); err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		t.Errorf("the plot is no PNG: %v", err)
	}
}

// FuzzQuestions: whatever the lines are, questions are whole or refused.
func FuzzQuestions(f *testing.F) {
	f.Add(`{"question":"q","answers":["a"]}`)
	f.Add(`{"question":"q","answers":[]}` + "\n{")
	f.Add(`{"id":"1","question":"q","answers":["a"],"passage_id":"d","passage_title":"t"}` + "\n" + `{"id":"1","question":"q","answers":["a"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		questions, err := parseQuestions(strings.NewReader(text), 0)
		if err != nil {
			return
		}
		for _, q := range questions {
			if f1 := F1(q.Question, q.Answers); q.ID == "" || !(f1 >= 0 && f1 <= 1) {
				t.Errorf("%+v: F1 %v", q, f1)
			}
			if ExactMatch(q.Question, q.Answers) && normalise(q.Question) != "" && !InAnswer(q.Question, q.Answers) {
				t.Errorf("%+v: an exact answer is not in itself", q)
			}
		}
	})
}

// FuzzAnswers: whatever a line of a file of answers is, it is refused or adds up.
func FuzzAnswers(f *testing.F) {
	f.Add(`{"row":"virtual","id":"1","answer":"x","tokens":3,"strides":[["d1#0"],null],"counts":{"prompt":3,"decoded":2},"ms":1.5,"in_answer":true,"f1":0.5,"refused":false}`)
	f.Add(`{"row":"virtual","id":"1","prompt":3,"cached":2,"f1":1}`)
	f.Add(`{"row":"virtual","id":"1","prompt":-3,"cached":2,"f1":-1}`)
	f.Add(`{"counts":{"prompt":9223372036854775807,"decoded":1}}`)
	f.Add(`[]`)
	questions := []Question{{ID: "1", PassageID: "d1"}}
	f.Fuzz(func(t *testing.T, line string) {
		a := &Answers{by: map[answerKey]Answer{}}
		if err := a.take(2, []byte(line), nil); err != nil {
			if len(a.by) > 0 {
				t.Errorf("%q is refused, %v, and taken", line, err)
			}
			return
		}
		for _, r := range a.Summarise(qaRows(t, "virtual"), questions, "").Rows {
			if !(r.F1.Value >= 0 && r.F1.Value <= 100 && r.Computed >= 0 && r.MS >= 0) {
				t.Errorf("%q adds up to %+v", line, r)
			}
		}
	})
}
