package main

import (
	"os"
	"strings"
	"testing"
)

func TestPrepareQuestions(t *testing.T) {
	model, index := indexed(t)
	questions, out := t.TempDir()+"/q.jsonl", t.TempDir()+"/x.jsonl.gz"
	if err := os.WriteFile(questions, []byte(`{"id":"1","question":"Where do the keys hang?","answers":["clock"],"passage_id":"k","passage_title":"Keys","passage":"behind the clock"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	got, errs, err := runCommand("prepare", "questions", questions, "--model", model, "--index", index, "-o", out)
	if err != nil || !strings.Contains(got, "1 questions, 1 with their own passage, 0 of them found among the first two") {
		t.Errorf("%v: %q, %q", err, got, errs)
	}
	if _, _, err := runCommand("prepare", "questions", questions, "--model", model, "-o", out); err == nil || !strings.Contains(err.Error(), "--index") {
		t.Errorf("without an index: %v", err)
	}
	template := t.TempDir() + "/t.jinja"
	if err := os.WriteFile(template, []byte(`{% for m in messages %}{{ m.role }} says {{ m.content }}. {% endfor %}`), 0o644); err != nil {
		t.Fatal(err)
	}
	as := func(flags ...string) string {
		out := t.TempDir() + "/x.jsonl"
		if _, _, err := runCommand(append([]string{"prepare", "questions", questions, "--model", model, "--index", index, "-o", out}, flags...)...); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(written)
	}
	if as("--template", template) == as() {
		t.Error("--template changes nothing of what is written")
	}
	if _, _, err := runCommand("prepare", "questions", questions, "--model", model, "--index", index, "-o", out, "--template", out+".none"); err == nil || !strings.Contains(err.Error(), "cannot read the chat template") {
		t.Errorf("a template that is not there: %v", err)
	}
}
