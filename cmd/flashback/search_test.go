package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// wordsIndex makes an index of files that needs no model, and returns it.
func wordsIndex(t *testing.T, files map[string]string) (index string) {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, filepath.Join(dir, "docs"), files)
	index = filepath.Join(dir, "x.index")
	if _, errs, err := runCommand("index", filepath.Join(dir, "docs"), "-o", index, "--chunk", "words:120"); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	return index
}

func TestSearch(t *testing.T) {
	filler := strings.Repeat("Nothing of interest happens in this sentence at all. ", 6)
	index := wordsIndex(t, map[string]string{
		"kettle.md":   "# Kettles\n\n## Red ones\n\nThe red kettle whistles.\nThe blue one hums.\n",
		"code/tea.go": "package tea\n\nfunc Boil(k *Kettle) {\n\tif k.Empty() {\n\t\treturn\n\t}\n}\n",
		"long.txt":    filler + "The copper kettle stands here. " + filler,
	})
	for _, args := range [][]string{{"search", index, "red", "kettle"}, {"search", "--index", index, "-k", "10", "red", "kettle"}, {"search", index, "red kettle"}} {
		out, errs, err := runCommand(args...)
		if err != nil || errs != "" {
			t.Fatalf("%q: %v %s", args, err, errs)
		}
		for _, part := range []string{
			"1. Kettles  (", "kettle.md", "The [red] [kettle] whistles.\n", // its lines
			"func Boil(k *[Kettle]) {\n   \tif k.Empty() {\n", // indented as it is
			"… ", "The copper [kettle] stands here.", " …\n",
		} {
			if !strings.Contains(out, part) {
				t.Errorf("%q: no %q in:\n%s", args, part, out)
			}
		}
		if strings.Contains(out, strings.TrimSpace(filler)) {
			t.Errorf("%q shows all of a long passage:\n%s", args, out)
		}
	}
	if out, _, err := runCommand("search", index, "copper", "--full", "-k", "1"); err != nil || !strings.Contains(out, strings.TrimSpace(filler)) {
		t.Errorf("--full does not show the whole passage: %v\n%s", err, out)
	}
	for _, flag := range [][]string{{"--json"}, {"--format", "json"}} {
		out, _, err := runCommand(append([]string{"search", index, "copper", "kettle", "--k", "2"}, flag...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var first struct {
			Rank int
			retrieve.Passage
		}
		if err != nil || len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &first) != nil || first.Rank != 1 || !strings.HasSuffix(first.Source, "long.txt") {
			t.Errorf("%q: %v\n%s", flag, err, out)
		}
	}
	if out, errs, err := runCommand("search", index, "zebra"); err != nil || out != "" || !strings.Contains(errs, "nothing found") {
		t.Errorf("without hits: %q %q %v", out, errs, err)
	}
}

func TestSearchErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(file, []byte("kettle"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"search"}, "flashback search INDEX WORDS"},
		{[]string{"search", "x.index"}, "say what to look for"},
		{[]string{"search", file, "kettle"}, "a.txt is a file: no index here; make one with 'flashback index'"},
		{[]string{"search", dir, "kettle"}, "no index here; make one with 'flashback index'"},
		{[]string{"search", dir + "/none", "kettle"}, "no index here"},
		{[]string{"search", "--index", dir, "--topics", file, "kettle"}, "give words, or queries"},
		{[]string{"search", dir, "kettle", "-k", "0"}, "-k must be at least 1"},
	} {
		if out, _, err := runCommand(c.args...); err == nil || out != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %q, error %v; want %q", c.args, out, err, c.want)
		}
	}
}

// Two indexes of folders that are called alike are searched as one, and each hit says
// which it is of; a name that is printed leaves its passage out.
func TestSearchSeveral(t *testing.T) {
	a := wordsIndex(t, map[string]string{"tea.md": "A red kettle."})
	b := wordsIndex(t, map[string]string{"tea.md": "A red kettle of copper."})
	out, errs, err := runCommand("search", "--index", a, "--index", b, "red", "kettle")
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	for _, index := range []string{a, b} {
		if !strings.Contains(out, index+"/docs/tea.md:1\n") {
			t.Errorf("no passage of %s in\n%s", index, out)
		}
	}
	out, _, err = runCommand("search", "--index", a, "--index", b, "--exclude-file", b+"/docs/tea.md", "red kettle")
	if err != nil || strings.Contains(out, "copper") || !strings.Contains(out, a) {
		t.Errorf("%v\n%s", err, out)
	}
}
