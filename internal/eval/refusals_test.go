package eval

import (
	"bytes"
	"testing"
)

// TestRefusals has figures added up by hand: pasted rows do not look, and a question
// without its second answer does not count.
func TestRefusals(t *testing.T) {
	questions := articleOf("A", 2, 2, 1)
	unanswerable, err := Unanswerable(questions)
	if err != nil {
		t.Fatal(err)
	}
	if u := unanswerable[0]; u.Excluded != "A" || u.ID == questions[0].ID {
		t.Errorf("%+v", u)
	}
	if _, err := Unanswerable([]Question{{ID: "x"}}); err == nil {
		t.Error("a question of no article is taken")
	}
	a, err := OpenAnswers("", nil)
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	for i, c := range []struct {
		with, without *bool
		right         bool
	}{{&no, &yes, true}, {&yes, &yes, true}, {&no, &no, false}, {&yes, &yes, false}, {&yes, nil, true}} {
		a.add(Answer{Row: "virtual", ID: questions[i].ID, InAnswer: c.right, Refused: c.with})
		if c.without != nil {
			a.add(Answer{Row: "virtual", ID: unanswerable[i].ID, Refused: c.without})
		}
	}
	var table bytes.Buffer
	if err := a.Refusals(qaRows(t, "none", "pasted", "virtual"), questions, unanswerable).Markdown(&table); err != nil {
		t.Fatal(err)
	}
	const want = `
"Not in your documents" of 4 questions, in percent:

| row | rightly: its article is left out | wrongly: it is there | of right answers |
|---|---:|---:|---:|
| virtual | 75.0 (25.0 – 100.0) | 50.0 (0.0 – 100.0) | 50.0 (0.0 – 100.0) |
`
	if table.String() != want {
		t.Errorf("the table is\n%s", table.String())
	}
}
