package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

func TestEvalPerplexityUsage(t *testing.T) {
	const good = "--data d.jsonl --index i "
	for name, args := range map[string]string{
		"no data":                "--index i",
		"no index":               "--data d.jsonl",
		"two indexes":            good + "--corpus c",
		"unknown row":            good + "--rows virtual,sideways",
		"unknown option":         good + "--rows virtual:width=2",
		"a row twice":            good + "--rows none,none",
		"negative windows":       good + "--windows -1",
		"short context":          good + "--context 16",
		"no stride":              good + "--stride 0",
		"no strides":             good + "--every 0",
		"sink of another kind":   good + "--sink -2",
		"sink out of range":      good + "--sink 4294967296",
		"one row to compare":     good + "--compare virtual",
		"no such row":            good + "--compare virtual,virtual:k=2",
		"branches in one case":   good + "--rows append:k=2 --export e.jsonl",
		"negative threads":       good + "--threads -1",
		"a document as argument": good + "more",
	} {
		_, err := output(t, append([]string{"eval", "perplexity"}, strings.Fields(args)...)...)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}

// TestEvalPerplexity scores two short documents with an index of a third, twice:
// the second run takes everything from the first one's scores.
func TestEvalPerplexity(t *testing.T) {
	path := hubtest.Model(t)
	dir := t.TempDir()
	t.Setenv("FLASHBACK_CACHE", filepath.Join(dir, "cache"))
	file := func(name string) string { return filepath.Join(dir, name) }
	const fact = "The lighthouse of Ulvey was built in 1871 by the engineer Mara Quill, and its lamp burned whale oil until 1903. "
	var data string
	for i, first := range []string{"A walk along the northern coast leads past three villages and an old harbour. ", "Of all the lights on these islands one is known best. "} {
		data += fmt.Sprintf("{\"id\":\"d%d\",\"title\":\"t%d\",\"text\":%q}\n", i, i, strings.Repeat(first, 4)+fact)
	}
	for name, text := range map[string]string{"data.jsonl": data, "corpus.jsonl": fmt.Sprintf("{\"id\":\"c\",\"title\":\"Ulvey\",\"text\":%q}\n", fact)} {
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"eval", "perplexity", "--model", path, "--data", file("data.jsonl"), "--corpus", file("corpus.jsonl"),
		"--context", "48", "--rows", "none,virtual", "-o", file("scores.jsonl"), "--export", file("cases.jsonl"), "--plot", file("rows.png")}
	out, _, err := runCommand(args...)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "2 windows, 64 tokens") || !strings.Contains(out, "| virtual against none |") {
		t.Errorf("the table is\n%s", out)
	}
	for name, lines := range map[string]int{"scores.jsonl": 1 + 2*2, "cases.jsonl": 2 * 2 * 2} {
		if text, err := os.ReadFile(file(name)); err != nil || strings.Count(string(text), "\n") != lines {
			t.Errorf("%s has %d lines, want %d; %v", name, strings.Count(string(text), "\n"), lines, err)
		}
	}
	if png, err := os.ReadFile(file("rows.png")); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("the plot is no PNG: %v", err)
	}
	scores, _ := os.ReadFile(file("scores.jsonl"))
	again, _, err := runCommand(args...)
	if err != nil || again != out {
		t.Errorf("the second run: %v\n%s", err, again)
	}
	if after, _ := os.ReadFile(file("scores.jsonl")); string(after) != string(scores) {
		t.Error("the second run changed the scores")
	}
	if _, _, err := runCommand(append(args, "--every", "2")...); err == nil || !strings.Contains(err.Error(), "name another file") {
		t.Errorf("other settings on the same scores: %v", err)
	}
	if _, _, err := runCommand(append(args, "--context", "8192")...); err == nil || !strings.Contains(err.Error(), "positions") {
		t.Errorf("a context that does not fit: %v", err)
	}
	if _, _, err := runCommand(append(args, "--context", "4096")...); err == nil || !strings.Contains(err.Error(), "no document has") {
		t.Errorf("documents that are too short: %v", err)
	}
}
