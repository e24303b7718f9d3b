package main

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// TestGoDocQuestions counts how many questions in plain words find their page of
// the standard library's documentation among the first three passages, in an index
// made as demo makes its own. The questions have no word of their pages' titles.
// Settings may be chosen by the second file, never by the first.
func TestGoDocQuestions(t *testing.T) {
	hubtest.Model(t) // whose tokens passages are cut by
	root, err := goroot(t.Context())
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	_, err = flashback.BuildIndex(t.Context(), dir, corpus.GoDoc(root), flashback.IndexOptions{Skipped: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	index, err := bm25.Open(dir, bm25.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	for _, set := range []struct {
		file  string
		least int
	}{{"testdata/godoc-questions.tsv", 12}, {"testdata/godoc-questions-dev.tsv", 12}} {
		questions := readQuestions(t, set.file)
		right := 0
		for _, q := range questions {
			found, err := index.Retrieve(t.Context(), retrieve.Query{Text: q.text, K: 3})
			if err != nil {
				t.Fatal(err)
			}
			var titles []string
			for _, p := range found {
				titles = append(titles, p.Title)
			}
			if slices.ContainsFunc(titles, func(title string) bool { return slices.Contains(q.pages, title) }) {
				right++
			} else {
				t.Logf("%s\n\twanted %v\n\tfound  %v", q.text, q.pages, titles)
			}
		}
		t.Logf("%s: %d of %d questions find their page among the first three passages", set.file, right, len(questions))
		if right < set.least {
			t.Errorf("%s: %d right, fewer than %d", set.file, right, set.least)
		}
	}
}

// question is one line of a file of questions.
type question struct {
	text  string
	pages []string // titles, each of which answers it
}

func readQuestions(t *testing.T, file string) []question {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var questions []question
	for s := bufio.NewScanner(f); s.Scan(); {
		text, pages, ok := strings.Cut(s.Text(), "\t")
		if !ok {
			t.Fatalf("%s: no page for %q", file, text)
		}
		questions = append(questions, question{text, strings.Fields(pages)})
	}
	if len(questions) != 30 {
		t.Fatalf("%s: %d questions", file, len(questions))
	}
	return questions
}
