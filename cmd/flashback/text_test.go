package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/remote"
)

// executeWith is execute with a context, standard input and a writer that gets
// standard output.
func executeWith(ctx context.Context, stdin string, stdout io.Writer, args ...string) (stderr string, err error) {
	var errs bytes.Buffer
	err = execute(ctx, args, strings.NewReader(stdin), stdout, &errs)
	return errs.String(), err
}

// documents are about things that no model has read of.
var documents = map[string]string{
	"keys.md":    "# Keys\n\nThe keys of the north tower hang behind the clock in the kitchen. Only the gardener may take them.\n",
	"garden.md":  "# Garden\n\nThe gardener waters the roses at six in the morning and feeds the carp at noon.\n",
	"kitchen.md": "# Kitchen\n\nThe clock in the kitchen is three minutes fast. Bread is baked on Mondays.\n",
}

// documentsFolder writes the documents into a folder.
func documentsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range documents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// indexed returns the model and an index of the documents.
func indexed(t *testing.T) (model, index string) {
	t.Helper()
	model, index = hubtest.Model(t), filepath.Join(t.TempDir(), "index")
	if _, errs, err := runCommand("index", documentsFolder(t), "-o", index, "--model", model); err != nil {
		t.Fatal(err, errs)
	}
	return model, index
}

func TestTextErrors(t *testing.T) {
	noModels(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const pull = "flashback pull smollm2-135m"
	for _, c := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{"generate"}, true, "--prompt-file"},
		{[]string{"generate", "--prompt", ""}, true, "--prompt is empty"},
		{[]string{"generate", "--prompt", "a", "--prompt-file", "-"}, true, "--prompt-file"},
		{[]string{"generate", "a prompt"}, true, "--help"},
		{[]string{"generate", "--prompt-file", empty}, false, "is empty"},
		{[]string{"generate", "--prompt-file", empty + "-not"}, false, "cannot read the prompt"},
		{[]string{"generate", "--prompt", "a", "--tokens", "0"}, true, "--tokens 0: must be at least 1"},
		{[]string{"generate", "--prompt", "a", "--k", "-1"}, true, "--k -1"},
		{[]string{"generate", "--prompt", "a", "--sink", "-2"}, true, "--sink -2"},
		{[]string{"generate", "--prompt", "a", "--top-p", "2"}, true, "top-p 2"},
		{[]string{"generate", "--prompt", "a", "--mix-factor", "NaN"}, true, "--mix-factor"},
		{[]string{"generate", "--prompt", "a", "--placement", "behind"}, true, "virtual, append, prepend, none"},
		{[]string{"generate", "--prompt", "a", "--placement", "append"}, true, "--index"},
		{[]string{"generate", "--prompt", "a", "--index", "i", "--echo", "0"}, true, "echo 0"},
		{[]string{"generate", "--prompt", "a", "--index", "i", "--retriever", "http://localhost:1"}, true, "name one of them"},
		{[]string{"generate", "--prompt", "a", "--retriever", "localhost:1"}, true, "--retriever"},
		{[]string{"generate", "--prompt", "a"}, false, pull},
		{[]string{"ask", "--index", "i", "--context-budget", "-1", "why?"}, true, "--context-budget -1"},
		{[]string{"ask", "--index", "i", "--context-budget", "2", "-k", "3", "why?"}, true, "none for 3 passages"},
		{[]string{"ask", "why?"}, true, "--index"},
		{[]string{"ask", "--index", "i"}, true, "give a question"},
		{[]string{"ask", "why?", "--index", "i"}, false, pull},
		{[]string{"demo", "a", "b"}, true, "--help"},
		{[]string{"demo", "--tokens", "0"}, true, "--tokens 0"},
		{[]string{"demo", empty + "-not"}, false, "cannot read the documents"},
		{[]string{"demo", empty}, true, "not a folder"},
	} {
		var out bytes.Buffer
		_, err := executeWith(t.Context(), "", &out, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || out.Len() > 0 {
			t.Errorf("%q: error %v, output %q; want an error with %q", c.args, err, out.String(), c.want)
		}
		if _, usage := errors.AsType[usageError](err); usage != c.usage {
			t.Errorf("%q: usage error %v, want %v", c.args, usage, c.usage)
		}
	}
}

func TestGenerate(t *testing.T) {
	model, index := indexed(t)
	var out bytes.Buffer
	errs, err := executeWith(t.Context(), "The keys of the north tower\n", &out,
		"generate", "--model", model, "--index", index, "--prompt-file", "-", "--tokens", "18", "--trace", "--verify", "--passage-len", "16")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"/keys.md), score", "18 tokens in", "ended: limit", "verified 2 strides, 18 tokens", "equal: bit for bit"} {
		if !strings.Contains(errs, part) {
			t.Errorf("standard error lacks %q:\n%s", part, errs)
		}
	}
	text := strings.TrimSuffix(out.String(), "\n")

	out.Reset()
	if _, err := executeWith(t.Context(), "", &out, "generate", "--model", model, "--index", index,
		"--prompt", "The keys of the north tower", "--tokens", "18", "--passage-len", "16", "--json", "--compute", "exact"); err != nil {
		t.Fatal(err)
	}
	var got tracedText
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if got.Text != text || got.Placement != "virtual" || got.Finish.Tokens != 18 || len(got.Strides) != 2 || got.Strides[0].Passages[0].Title != "Keys" {
		t.Errorf("the trace is of another text than %q:\n%s", text, out.String())
	}
}

// TestGenerateWithAService looks passages up over HTTP in the same index: the text
// must be the same. A service that is not there is an error that names it.
func TestGenerateWithAService(t *testing.T) {
	model, index := indexed(t)
	ix, err := bm25.Open(index, bm25.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	server := httptest.NewServer(remote.Handler(ix))
	write := func(flag, value string) (string, error) {
		var out bytes.Buffer
		_, err := executeWith(t.Context(), "", &out, "generate", "--model", model, flag, value,
			"--prompt", "The keys of the north tower", "--tokens", "18", "--passage-len", "16")
		return out.String(), err
	}
	want, err := write("--index", index)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := write("--retriever", server.URL); err != nil || got != want {
		t.Errorf("over HTTP: %q, %v; want %q", got, err, want)
	}
	server.Close()
	if _, err := write("--retriever", server.URL); err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("without the service: error %v, want one that names %s", err, server.URL)
	}
}

// canceller cancels a context at the first write.
type canceller struct {
	text   bytes.Buffer
	cancel context.CancelFunc
}

func (c *canceller) Write(p []byte) (int, error) {
	c.cancel()
	return c.text.Write(p)
}

func TestGenerateInterrupted(t *testing.T) {
	model := hubtest.Model(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := canceller{cancel: cancel}
	errs, err := executeWith(ctx, "", &out, "generate", "--model", model, "--prompt", "One, two, three,", "--tokens", "1000")
	if !errors.Is(err, errInterrupted) || !strings.Contains(errs, "ended: cancelled") || out.text.Len() == 0 {
		t.Errorf("error %v, output %q, standard error %q; want the text so far and what was done", err, out.text.String(), errs)
	}
}

func TestAsk(t *testing.T) {
	model, index := indexed(t)
	var out bytes.Buffer
	errs, err := executeWith(t.Context(), "Where do the keys of the north tower hang?\n", &out,
		"ask", "--model", model, index, "--tokens", "24", "--stats") // the index as search takes it
	if err != nil {
		t.Fatal(err)
	}
	answer, sources, _ := strings.Cut(out.String(), "\n\nSources\n")
	path := regexp.MustCompile(`\[\d\] Keys\n      (/.*keys\.md):1\n`).FindStringSubmatch(sources)
	if strings.TrimSpace(answer) == "" || path == nil || !strings.Contains(errs, "ms a token") {
		t.Fatalf("answer %q, sources %q, standard error %q", answer, sources, errs)
	}
	if text, err := os.ReadFile(path[1]); err != nil || string(text) != documents["keys.md"] {
		t.Errorf("the path of the source leads to %q: %v", text, err)
	}

	out.Reset()
	errs, err = executeWith(t.Context(), "", &out, "ask", "--model", model, "--index", index, "--tokens", "24", "--json",
		"-k", "2", "Where", "do the keys of the north tower hang?")
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	var got tracedAnswer
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Text != answer || got.Question != "Where do the keys of the north tower hang?" || got.Trace.Sources() == nil || len(got.Sources) == 0 || got.Sources[0].Path == "" || !got.Found || got.Sentences == nil {
		t.Errorf("the trace is of another answer than %q:\n%s", answer, out.String())
	}
}

func TestConverse(t *testing.T) {
	model, index := indexed(t)
	engine, err := flashback.Open(flashback.Options{Model: model, Indexes: []string{index}})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	r := flashback.AnswerDefaults()
	r.Placement, r.MaxTokens = "virtual", 8
	var out, log bytes.Buffer
	a := &asker{engine: engine, chat: engine.NewChat(askSystem), system: askSystem, request: r, stats: true, out: &out, log: &log}
	defer func() { a.chat.Close() }()
	file := filepath.Join(t.TempDir(), "talk.md")
	lines := []string{"/sources", "/save " + file, "Where do the keys hang?", "", "/sources", "/nothing", "/help", "And when is bread baked?",
		"/save", "/save " + file, "/save " + file, "/new", "Where do the keys hang?", "/quit", "never asked"}
	err = a.converse(t.Context(), func() (string, error) {
		if len(lines) == 0 {
			return "", io.EOF
		}
		line := lines[0]
		lines = lines[1:]
		return line, nil
	})
	if err != nil || len(lines) != 1 {
		t.Fatalf("error %v, unread %q", err, lines)
	}
	if !strings.Contains(out.String(), documents["keys.md"][len("# Keys\n\n"):]) {
		t.Errorf("/sources did not show the passage whole:\n%s", out.String())
	}
	saved, err := os.ReadFile(file)
	for _, part := range []string{"# Conversation\n\n> Where do the keys hang?\n\n", "keys.md:1`\n", "\n> And when is bread baked?\n\n"} {
		if !strings.Contains(string(saved), part) {
			t.Errorf("the saved conversation lacks %q: %v\n%s", part, err, saved)
		}
	}
	for _, part := range []string{"there are no sources", "nothing has been asked yet", "name the file: /save FILE", "saved to " + file, "there is no /nothing", talkHelp} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("standard error lacks %q:\n%s", part, log.String())
		}
	}
	// The second question encodes only itself.
	var prompts []int
	for _, m := range regexp.MustCompile(`prompt (\d+),`).FindAllStringSubmatch(log.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		prompts = append(prompts, n)
	}
	if len(prompts) != 3 || prompts[1] >= prompts[0] || prompts[2] != prompts[0] {
		t.Errorf("tokens of the prompts are %v: want the second less than the first, which comes again", prompts)
	}
}

func TestDemo(t *testing.T) {
	model := hubtest.Model(t)
	t.Setenv("FLASHBACK_CACHE", t.TempDir())
	dir := documentsFolder(t)
	demo := func() string {
		t.Helper()
		var out bytes.Buffer
		if errs, err := executeWith(t.Context(), "", &out, "demo", dir, "--model", model, "--tokens", "4"); err != nil {
			t.Fatalf("%v\n%s", err, errs)
		}
		return out.String()
	}
	first := demo()
	for _, part := range []string{"3 passages of " + dir + ", made in", `Question: What does "Keys" say?`, "\n\nThe same question", "virtual", "append", "prepend", "none", "evidence reused"} {
		if !strings.Contains(first, part) {
			t.Errorf("the demo lacks %q:\n%s", part, first)
		}
	}
	if !regexp.MustCompile(`(?m)^(Sources|Not in your documents.*)$`).MatchString(first) {
		t.Errorf("the demo does not say what so short an answer is from:\n%s", first)
	}
	if again := demo(); strings.Contains(again, "made in") {
		t.Errorf("the index was made again though nothing had changed:\n%s", again)
	}
	if err := os.WriteFile(filepath.Join(dir, "cellar.md"), []byte("# Cellar\n\nThe cellar is locked.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed := demo(); !strings.Contains(changed, "4 passages") || !strings.Contains(changed, "made in") {
		t.Errorf("the index was not made again after a change:\n%s", changed)
	}
	if indexes, _ := filepath.Glob(filepath.Join(os.Getenv("FLASHBACK_CACHE"), "demo", "*", "*")); len(indexes) != 1 {
		t.Errorf("%d indexes are kept, want 1: %q", len(indexes), indexes)
	}
}
