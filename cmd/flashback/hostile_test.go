package main

import (
	"bytes"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// hostile is what a document must not make a terminal do: set its title, clear it,
// fill the clipboard, hide text, turn it around, write over what is there.
const hostile = "\x1b]0;PWNED\a\x1b[2J\x1b]52;c;ZXZpbA==\a\x1b[8m \u009b31m \u202edrow\u202c \u2066x\u2069 over\rwritten\b\x7f"

// hostileDocuments writes documents whose text, titles and names are hostile.
func hostileDocuments(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.Repeat("The router stands in the cellar of the north tower. ", 8)
	files := map[string]string{
		"router.md":    "# Router " + hostile + "\n\n" + text + hostile + "\n",
		"notes.jsonl":  `{"id":"a\u001b[31m\nb","title":"Router\u001b]0;T\u0007\nnext","text":"router \u001b[2J\u009b31m\u202e"}` + "\nno record\n",
		"broken.jsonl": `{"fie` + "\u202e" + `ld":"x"}` + "\n",
	}
	if runtime.GOOS != "windows" {
		files["evil\x1b[31mred\nname\u202e.txt"] = text
		files["evil\x1b]0;T\a\n.pdf"] = "no PDF"
		files["x.e\x1b[2J\u009b"] = "\x00\x01"
	}
	writeFiles(t, dir, files)
	return dir
}

// harmless reports what of a text a terminal would obey.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069) {
			t.Errorf("%s: %U in %q", what, r, text)
			return
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "name") {
			t.Errorf("%s: the name of a file makes a line of its own: %q", what, text)
		}
	}
}

// TestHostileDocuments runs each command that shows something of documents.
func TestHostileDocuments(t *testing.T) {
	docs := hostileDocuments(t)
	dir := t.TempDir()
	index := filepath.Join(dir, "x.index")
	shown := ""
	for _, args := range [][]string{
		{"index", docs, "-o", index, "--chunk", "words:100"},
		{"index", docs, "-o", filepath.Join(dir, "y.index"), "--chunk", "words:100", "--json"},
		{"index", docs, "-o", index, "--add", "--strict", "--chunk", "words:100"},
		{"index", "-o", index, "--delete", "evil\x1b[31mred\nnome\u202e.txt"},
		{"index", "nope\x1b[2J\n\u202e", "-o", index},
		{"list", index}, {"list", index, "--json"},
		{"inspect", index}, {"inspect", index, "--json"}, {"inspect", "nope\x1b[2J\nx"},
		{"search", index, "router"}, {"search", index, "router", "--full"}, {"search", index, "router", "--json"},
		{"search", index, "router", "--format", "trec"}, {"search", "nope\x1b[2J\n", "router"},
		{"index", "verify", "nope\x1b[2J\n"}, {"compact", index}, {"no\x1b[2Jcommand"}, {"--no\x1b[2Jflag"},
	} {
		out, errs, _ := runCommand(args...)
		harmless(t, strings.Join(args, " "), out)
		harmless(t, strings.Join(args, " "), errs)
		shown += out + errs
	}
	for _, part := range []string{"␛]0;PWNED␇␛[2J", "\\u001b]0;PWNED\\u0007"} {
		if !strings.Contains(shown, part) {
			t.Errorf("no %q was shown", part)
		}
	}
	if runtime.GOOS != "windows" && !strings.Contains(shown, "evil␛[31mred␊name\ufffd.txt") {
		t.Errorf("the hostile name was not shown:\n%s", shown)
	}
}

// TestHostileAnswers runs the commands that need a model, and shows sources.
func TestHostileAnswers(t *testing.T) {
	model, docs := hubtest.Model(t), hostileDocuments(t)
	t.Setenv("FLASHBACK_CACHE", t.TempDir())
	index := filepath.Join(t.TempDir(), "x.index")
	for _, args := range [][]string{
		{"index", docs, "-o", index, "--model", model},
		{"ask", "--model", model, "--index", index, "--tokens", "2", "Where is the router?"},
		{"ask", "--model", model, "--index", index, "--tokens", "2", "--json", "Where is the router? " + hostile},
		{"generate", "--model", model, "--index", index, "--tokens", "2", "--trace", "--prompt", "The router " + hostile},
		{"demo", docs, "--model", model, "--tokens", "1", "--question", "Where is the router? " + hostile},
	} {
		var out bytes.Buffer
		errs, err := executeWith(t.Context(), "", &out, args...)
		if err != nil {
			t.Errorf("%q: %v", args, err)
		}
		harmless(t, args[0], out.String())
		harmless(t, args[0], errs)
	}
	engine, err := flashback.Open(flashback.Options{Model: model, Indexes: []string{index}})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	r := flashback.AnswerDefaults()
	r.MaxTokens = 2
	var out bytes.Buffer
	safe := terminal.NewWriter(&out)
	a := &asker{engine: engine, chat: engine.NewChat(askSystem), system: askSystem, request: r, out: safe, log: safe}
	defer func() { a.chat.Close() }()
	a.turn(t.Context(), "Where is the router?")
	a.showSources()
	safe.Flush()
	harmless(t, "/sources", out.String())
	if !strings.Contains(out.String(), "outer") {
		t.Errorf("no sources:\n%s", out.String())
	}
}
