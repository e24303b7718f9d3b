package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFromDocumentsToAdapter goes the way of a user: examples from documents and
// their index, an adapter from the examples, a text with the adapter.
func TestFromDocumentsToAdapter(t *testing.T) {
	model, index := indexed(t)
	dir := t.TempDir()
	made, adapter, export := filepath.Join(dir, "a.examples"), filepath.Join(dir, "adapter"), filepath.Join(dir, "a.jsonl")
	run := func(want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		errs, err := executeWith(t.Context(), "", &out, args...)
		switch {
		case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
			t.Fatalf("%q: %v", args, err)
		case err == nil && !strings.Contains(out.String()+errs, want):
			t.Fatalf("%q printed no %q:\n%s%s", args, want, out.String(), errs)
		}
	}
	run("3 windows", "prepare", "--model", model, documentsFolder(t), "--index", index, "-o", made, "--export", export,
		"--context", "16", "--stride", "4", "--query-len", "8", "--branches", "2", "--k", "1", "--passage-len", "12")
	lines, err := os.ReadFile(export)
	if err != nil || bytes.Count(lines, []byte("\n")) != 4 {
		t.Fatalf("%v: the export is\n%s", err, lines)
	}
	train := []string{"train", "--model", model, made, "-o", adapter, "--batch", "1", "--rank", "2", "--k", "1", "--marks", "--steps", "2"}
	run("", train...)
	log := filepath.Join(adapter+".training", "train.jsonl")
	once, err := os.ReadFile(log)
	if err != nil || bytes.Count(once, []byte("\n")) != 2 {
		t.Fatalf("%v: the log of two steps is\n%s", err, once)
	}
	run("", train...) // nothing is left to do
	if twice, err := os.ReadFile(log); err != nil || !bytes.Equal(twice, once) {
		t.Errorf("%v: a second run added to the log:\n%s", err, twice)
	}
	run("--restart", append(train, "--lr", "1e-3")...)
	run("unknown compute", append(train, "--compute", "quick")...)
	run("an adapter of step 2", append(train, "--compute", "exact", "--restart")...)
	run("virtual", "inspect", adapter)
	run("ended: limit", "generate", "--model", model, "--adapter", adapter, "--index", index, "--prompt", "The keys of the north tower", "--tokens", "4")
	questions := filepath.Join(t.TempDir(), "questions.jsonl")
	if err := os.WriteFile(questions, []byte(`{"question":"Where do the keys hang?","answers":["behind the clock"]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run("| virtual:adapter=mine |", "eval", "qa", "--model", model, "--index", index, "--data", questions, "--adapter", "mine="+adapter,
		"--rows", "virtual,virtual:adapter=mine", "--tokens", "4")
}
