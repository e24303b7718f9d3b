package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// writeFiles writes files below a folder.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// listed returns the sources with passages that list --json prints.
func listed(t *testing.T, index string) (sources []string) {
	t.Helper()
	out, _, err := runCommand("list", index, "--json")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		var s listedSource
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		if s.Passages > 0 {
			sources = append(sources, s.Source)
		}
	}
	return sources
}

func TestIndex(t *testing.T) {
	dir := t.TempDir()
	docs, index := filepath.Join(dir, "docs"), filepath.Join(dir, "docs", "x.index") // among the documents
	writeFiles(t, docs, map[string]string{
		"a.md": "# Alpha\n\nalpha", "b.txt": "beta", "sub/c.txt": "gamma", "sub/drafts/d.txt": "delta", "pic.png": "\x00\x01", "empty.txt": "\n",
		".gitignore": "*.log\n", "e.log": "epsilon", "bad.jsonl": "{\"body\":\"x\"}\n{\"body\":\"y\"}\n{\"body\":\"z\"}\n",
	})
	run := func(args ...string) (out, errs string) {
		t.Helper()
		out, errs, err := runCommand(append([]string{"index", "-o", index, "--chunk", "none"}, args...)...)
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, errs)
		}
		return out, errs
	}
	want := func(sources string) {
		t.Helper()
		if got := strings.Join(listed(t, index), " "); got != sources {
			t.Errorf("the index has %q, want %q", got, sources)
		}
	}
	_, errs := run(docs)
	want("a.md b.txt sub/c.txt sub/drafts/d.txt")
	for _, part := range []string{"bad.jsonl:1: no field \"text\"", "there are body (and 2 more records of this file)", "3 records could not be read, 1 file holds no text", "1 file of kinds that cannot be read: 1 .png"} {
		if !strings.Contains(errs, part) {
			t.Errorf("no %q in:\n%s", part, errs)
		}
	}
	run(docs) // the index that is there now is no document
	want("a.md b.txt sub/c.txt sub/drafts/d.txt")
	run(docs, "--exclude", "drafts", "--include", "*.{txt,log}", "--no-ignore")
	want("b.txt e.log sub/c.txt")
	run(filepath.Join(docs, "a.md"), filepath.Join(docs, "b.txt"), filepath.Join(docs, "sub"))
	want("a.md b.txt sub/c.txt sub/drafts/d.txt")

	out, errs := run(docs, "--json")
	var got indexOutcome
	if err := json.Unmarshal([]byte(out), &got); err != nil || errs != "" || got.Passages != 4 || got.Report.Files != 4 || got.Report.Unknown[".png"] != 1 || got.Report.BadRecords != 3 {
		t.Errorf("--json: %v\n%s%s", err, out, errs)
	}

	if out, _ := run("--delete", filepath.Join(docs, "sub"), "--delete", "*.md"); !strings.Contains(out, "3 sources with 3 passages deleted") {
		t.Errorf("--delete says %q", out)
	}
	want("b.txt")
	if _, _, err := runCommand("index", "-o", index, "--delete", "b.tx"); err == nil || !strings.Contains(err.Error(), `did you mean "docs/b.txt"`) {
		t.Errorf("a near miss: %v", err)
	}
	writeFiles(t, docs, map[string]string{"b.txt": "beta beta"})
	if out, _ := run(docs, "--add", "--include", "*.txt"); !strings.Contains(out, "older passage") {
		t.Errorf("--add says %q", out)
	}
}

// TestIndexErrors asks for what cannot be; nothing is left behind.
func TestIndexErrors(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"docs/a.txt": "alpha", "pictures/a.png": "\x00\x01", "pictures/b.JPG": "\x00", "none/.hidden": "x", "ignored/.gitignore": "*\n", "ignored/a": "a"})
	index := wordsIndex(t, map[string]string{"a.txt": "alpha"})
	made := filepath.Join(dir, "x.index")
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{at("nope")}, "no such file or directory"},
		{[]string{at("docs"), at("nope")}, "no such file or directory"},
		{[]string{index}, "is an index, not documents"},
		{[]string{at("pictures")}, "none of the 2 files is of a kind that can be read"},
		{[]string{at("pictures/a.png")}, "nothing was indexed"},
		{[]string{at("none")}, "nothing was indexed"},
		{[]string{at("ignored")}, "nothing was indexed"},
		{[]string{at("docs"), "--exclude", "["}, "is no pattern of file names"},
		{[]string{at("docs"), "--encoding", "klingon"}, "klingon"},
		{[]string{at("docs"), "--delimiter", "ab"}, "give one character"},
		{[]string{at("docs"), "--delete", "a"}, "--delete takes no documents"},
		{nil, "name the documents"},
	} {
		_, _, err := runCommand(append([]string{"index", "-o", made, "--chunk", "none"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.args, err, c.want)
		}
		if _, err := os.Stat(made); err == nil {
			t.Errorf("%q leaves %s behind", c.args, made)
			os.RemoveAll(made)
		}
	}
}

func TestInspectIndex(t *testing.T) {
	index := wordsIndex(t, map[string]string{"a.txt": "alpha", "b.txt": "beta"})
	out, _, err := runCommand("inspect", index)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"sources   2;", "passages  2", "segments  1", "words:120", "good: every checksum is right"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in:\n%s", part, out)
		}
	}
	files, err := filepath.Glob(filepath.Join(index, "*.postings"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(files[0], data, 0o666); err != nil {
		t.Fatal(err)
	}
	out, _, err = runCommand("inspect", index, "--json")
	var in indexInspection
	if err == nil || !strings.Contains(err.Error(), "damaged") || json.Unmarshal([]byte(out), &in) != nil || in.Fault == "" || in.Sources != 2 {
		t.Errorf("a damaged index: %v\n%s", err, out)
	}
	if !bm25.IsIndex(index) || bm25.IsIndex(filepath.Dir(index)) {
		t.Error("IsIndex does not know an index")
	}
}
