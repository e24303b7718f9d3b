package eval

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnswersGoOn stops after each question: the file and the table are those of
// one run, and no question is asked twice.
func TestAnswersGoOn(t *testing.T) {
	questions, err := parseQuestions(strings.NewReader(`{"question":"who","answers":["A man"]}
{"id":"x","question":"where","answers":["here","there"]}
`), 0)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ParseRows([]string{"none", "virtual"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "answers.jsonl")
	asked, stop := 0, errors.New("stop")
	for range 5 {
		a, err := OpenAnswers(path, "settings")
		if err != nil {
			t.Fatal(err)
		}
		once := false
		err = a.Ask(context.Background(), rows, questions, func(_ context.Context, r Row, q string) (string, []string, error) {
			if once {
				return "", nil, stop
			}
			once = true
			asked++
			return map[string]string{"who": "the man", "where": "over there"}[q], nil, nil
		}, func() {})
		if err != nil && !errors.Is(err, stop) {
			t.Fatal(err)
		}
		var table bytes.Buffer
		if err := a.Markdown(&table, rows, questions); err != nil {
			t.Fatal(err)
		}
		if err == nil && asked == 4 && strings.Contains(table.String(), "2 questions") && !strings.Contains(table.String(), "| virtual | 50.0 | 0.0 – 100.0 | 83.3 |") {
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

// FuzzQuestions: whatever the lines are, questions are whole or refused.
func FuzzQuestions(f *testing.F) {
	f.Add(`{"question":"q","answers":["a"]}`)
	f.Add(`{"question":"q","answers":[]}` + "\n{")
	f.Add(`{"id":"1","question":"q","answers":["a"]}` + "\n" + `{"id":"1","question":"q","answers":["a"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		questions, err := parseQuestions(strings.NewReader(text), 0)
		if err != nil {
			return
		}
		for _, q := range questions {
			if f1 := F1(q.Question, q.Answers); q.ID == "" || !(f1 >= 0 && f1 <= 1) {
				t.Errorf("%+v: F1 %v", q, f1)
			}
		}
	})
}
