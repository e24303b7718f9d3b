package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

func TestEvalQAUsage(t *testing.T) {
	const good = "--data d.jsonl --index i "
	for name, args := range map[string]string{
		"no data":                "--index i",
		"no index":               "--data d.jsonl",
		"unknown row":            good + "--rows virtual,sideways",
		"a row twice":            good + "--rows none,none",
		"a sink":                 good + "--rows virtual:sink=0",
		"passages left in":       good + "--rows pasted:left",
		"a pasted echo":          good + "--rows pasted:echo=1",
		"negative limit":         good + "--limit -1",
		"no tokens":              good + "--tokens 0",
		"nobody asks":            good + "--at-once 0",
		"against no row":         good + "--rows none,virtual --against pasted",
		"two system messages":    good + "--short --system Hello",
		"a document as argument": good + "more",
	} {
		_, err := output(t, append([]string{"eval", "qa"}, strings.Fields(args)...)...)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}

// TestEvalQA asks two questions with an index of their passages: the answers are the
// same however many are asked at once, and a second run takes all from the first.
func TestEvalQA(t *testing.T) {
	path := hubtest.Model(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var questions, passages string
	for i, p := range [][3]string{
		{"Who built the lighthouse of Ulvey?", "Mara Quill", "The lighthouse of Ulvey was built in 1871 by the engineer Mara Quill."},
		{"What burned in the lamp?", "whale oil", "Until 1903 whale oil burned in the lamp of the lighthouse."},
	} {
		questions += fmt.Sprintf("{\"id\":\"q%d\",\"question\":%q,\"answers\":[%q],\"passage_id\":\"p%d\",\"passage_title\":\"Ulvey\"}\n", i, p[0], p[1], i)
		passages += fmt.Sprintf("{\"id\":\"p%d\",\"title\":\"Ulvey\",\"text\":%q}\n", i, p[2])
	}
	for name, text := range map[string]string{"questions.jsonl": questions, "passages.jsonl": passages} {
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := runCommand("index", "--model", path, "-o", file("index"), file("passages.jsonl")); err != nil {
		t.Fatal(err)
	}
	run := func(name, atOnce string) (table string, answers map[string]eval.Answer) {
		t.Helper()
		table, _, err := runCommand("eval", "qa", "--model", path, "--data", file("questions.jsonl"), "--index", file("index"), "-k", "1", "--tokens", "10", "--stride", "6",
			"--rows", "none,pasted,virtual,virtual:k=2:stride=4", "--against", "pasted", "--unanswerable", "--at-once", atOnce, "-o", file(name), "--plot", file("rows.svg"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		answers = map[string]eval.Answer{}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			var a eval.Answer
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatal(err)
			}
			a.MS = 0
			if looked := strings.HasPrefix(a.Row, "virtual"); looked != (a.Refused != nil) {
				t.Errorf("%s: looked where it is from: %v", line, !looked)
			} else if looked {
				a.Text += fmt.Sprint(" refused: ", *a.Refused)
			}
			a.Refused = nil // a pointer
			answers[a.Row+" "+a.ID] = a
		}
		return table, answers
	}
	table, alone := run("alone.jsonl", "1")
	if len(alone) != 12 || !strings.Contains(table, "2 questions;") || !strings.Contains(table, "| 100 / 100 |") {
		t.Errorf("%d answers, and the table is\n%s", len(alone), table)
	}
	if want := "\n| virtual | 100.0 (100.0 – 100.0) |"; !strings.Contains(table, want) {
		t.Errorf("without a passage answers are in the documents: no %q in\n%s", want, table)
	}
	if again, _ := run("alone.jsonl", "1"); again != table {
		t.Errorf("the second run printed\n%s\nthe first\n%s", again, table)
	}
	_, together := run("together.jsonl", "5")
	for key, a := range alone {
		if fmt.Sprint(a) != fmt.Sprint(together[key]) {
			t.Errorf("%s: asked alone\n%+v\nasked beside others\n%+v", key, a, together[key])
		}
	}
	pasted, virtual := alone["pasted q0"], alone["virtual q0"]
	if got := strings.Join(pasted.Strides[0], ""); len(pasted.Strides) != 1 || got != "p0#0" {
		t.Errorf("pasted was %q", pasted.Strides)
	}
	if pasted.Counts.Evidence != 0 || pasted.Counts.Prompt <= virtual.Counts.Prompt+10 {
		t.Errorf("pasted: counts %+v, virtual %+v: the passage is no part of the prompt", pasted.Counts, virtual.Counts)
	}
	if virtual.Counts.Evidence == 0 || len(virtual.Strides) != 2 {
		t.Errorf("virtual: %+v", virtual)
	}
}

func TestEvalChatUsage(t *testing.T) {
	for name, args := range map[string]string{
		"no data":         "",
		"pasted":          "--data d.jsonl --rows virtual,pasted",
		"a single turn":   "--data d.jsonl --turns 1",
		"negative number": "--data d.jsonl --articles -1",
	} {
		_, err := output(t, append([]string{"eval", "chat"}, strings.Fields(args)...)...)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}

// TestEvalChat holds two conversations of two turns. What the engine computed for a
// pasted prompt is what is counted from its tokens.
func TestEvalChat(t *testing.T) {
	path := hubtest.Model(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var questions string
	for i, text := range []string{"The lighthouse was built in 1871.", "Its lamp burned whale oil.", "The keeper had two goats.", "Ships came from the north."} {
		for j := range 2 {
			questions += fmt.Sprintf("{\"id\":\"q%d.%d\",\"question\":\"What is said of it, %d?\",\"answers\":[\"x\"],\"passage_id\":\"p%d\",\"passage_title\":\"Ulvey\",\"passage\":%q}\n", i, j, j, i, text)
		}
	}
	if err := os.WriteFile(file("questions.jsonl"), []byte(questions), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"eval", "chat", "--model", path, "--data", file("questions.jsonl"), "--turns", "2", "--tokens", "5", "--stride", "3", "--system", "Be brief.",
		"-o", file("chats.jsonl"), "--plot", file("chats.png")}
	table, _, err := runCommand(args...)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := runCommand(args...); err != nil || again != table {
		t.Errorf("the second run printed\n%s\nthe first\n%s\n%v", again, table, err)
	}
	text, err := os.ReadFile(file("chats.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
	if len(lines) != 3*2*2 || !strings.Contains(table, "1 conversation of 2 turns, new passages") {
		t.Fatalf("%d answers, and the table is\n%s", len(lines), table)
	}
	for _, line := range lines {
		var a eval.Answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if second := strings.HasSuffix(a.ID, " 2"); second != (a.Cached > 0) && strings.HasPrefix(a.Row, "pasted") {
			t.Errorf("%s of %s: %d tokens of its prompt stood before", a.ID, a.Row, a.Cached)
		}
		if computed := a.Prompt - a.Cached + a.Tokens - 1; strings.HasPrefix(a.Row, "pasted") && computed != a.Computed() {
			t.Errorf("%s of %s: %d tokens counted, the engine computed %d", a.ID, a.Row, computed, a.Computed())
		}
		if a.Row == "virtual" && a.Counts.Evidence == 0 {
			t.Errorf("%s of virtual: no evidence", a.ID)
		}
	}
}
