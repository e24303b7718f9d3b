package eval

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var settings = Settings{Model: "tiny", Data: "documents", Index: "shelf", Recipe: recipe}

// scored is a log of a whole run.
func scored(t testing.TB) (path string, s *small) {
	t.Helper()
	s = newSmall(t, "none", "virtual", "append:echo=4")
	path = filepath.Join(t.TempDir(), "scores.jsonl")
	log, err := OpenLog(path, settings, s.windows)
	if err != nil {
		t.Fatal(err)
	}
	s.run(t, log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return path, s
}

// TestResume interrupts a run after each window, cuts the file in the middle of a
// line, and goes on: the log and the result are those of a run in one go, and no
// window is scored twice.
func TestResume(t *testing.T) {
	whole, s := scored(t)
	want, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "scores.jsonl")
	for i := range s.windows {
		log, err := OpenLog(path, settings, s.windows)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.sequences = 0
		done := 0
		err = s.Run(ctx, s.windows, log, func() {
			if done++; done == i+1 {
				cancel()
			}
		})
		cancel()
		if last := i+1 == len(s.windows); last && err != nil || !last && !errors.Is(err, context.Canceled) {
			t.Fatalf("run %d: %v", i, err)
		}
		if s.sequences > 2 { // of its own window, and of the one that was interrupted
			t.Errorf("run %d made %d sequences", i, s.sequences)
		}
		if got := len(log.Complete(s.Rows, s.windows)); got != i+1 {
			t.Errorf("run %d: %d windows are complete, want %d", i, got, i+1)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"row":"virtual","wind`)
		f.Close()
	}
	log, err := OpenLog(path, settings, s.windows)
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("the log of interrupted runs is not that of one run")
	}
	full, err := OpenLog(whole, settings, s.windows)
	if err != nil {
		t.Fatal(err)
	}
	full.Close()
	a, b := Summarise(log, s.Rows, s.windows, nil), Summarise(full, s.Rows, s.windows, nil)
	if a.Windows != len(s.windows) || !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, in one go %+v", a, b)
	}
}

// TestAnotherRow adds a row to a log: only that is scored.
func TestAnotherRow(t *testing.T) {
	path, s := scored(t)
	more := newSmall(t, "none", "prepend")
	log, err := OpenLog(path, settings, more.windows)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	before := len(log.scores)
	more.run(t, log)
	if got := len(log.scores) - before; got != len(s.windows) {
		t.Errorf("%d scores are new, want %d", got, len(s.windows))
	}
}

func TestForeignLogs(t *testing.T) {
	path, s := scored(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	first, second := lines[0], lines[1]
	for name, c := range map[string]struct{ text, want string }{
		"other settings":    {strings.Replace(first, "tiny", "large", 1), "large"},
		"other recipe":      {strings.Replace(first, `"every":2`, `"every":1`, 1), "Every:1"},
		"no settings":       {second, ":1: not the settings"},
		"no JSON":           {"hello\n", ":1: not the settings"},
		"no line":           {"hello", "no whole line"},
		"broken line":       {first + "{\n", ":2: not a score"},
		"other document":    {first + strings.Replace(second, `"document":"d0"`, `"document":"d9"`, 1), `document "d9"`},
		"negative window":   {first + strings.Replace(second, `"window":0`, `"window":-1`, 1), "negative"},
		"a stride too few":  {first + `{"row":"none","window":0,"document":"d0"}` + "\n", "0 strides"},
		"another context":   {first + strings.Replace(second, `"context":32`, `"context":33`, 1), "stride 0"},
		"no probabilities":  {first + strings.Replace(second, `"logprobs":[`, `"logprobs":[],"x":[`, 1), "0 log-probabilities"},
		"negative words":    {first + strings.Replace(second, `"words":`, `"words":-`, 1), "words"},
		"not a number":      {first + strings.Replace(second, `"logprobs":[`, `"logprobs":["x",`, 1), ":2: not a score"},
		"number out of f64": {first + strings.Replace(second, `"logprobs":[`, `"logprobs":[1e999,`, 1), ":2: not a score"},
	} {
		bad := filepath.Join(t.TempDir(), "bad.jsonl")
		if err := os.WriteFile(bad, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		log, err := OpenLog(bad, settings, s.windows)
		if err == nil {
			log.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v; want the file and %q", name, err, c.want)
		}
		if left, err := os.ReadFile(bad); err != nil || string(left) != c.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := OpenLog(filepath.Join(t.TempDir(), "no", "dir.jsonl"), settings, nil); err == nil {
		t.Error("a log in no directory is opened")
	}
}

// FuzzLog: whatever the lines are, the log is refused or its scores fit the
// recipe.
func FuzzLog(f *testing.F) {
	path, s := scored(f)
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	f.Add(lines[0] + lines[1])
	f.Add(lines[0] + lines[1][:100])
	f.Add(lines[0] + lines[2] + lines[2])
	f.Fuzz(func(t *testing.T, text string) {
		l := NewLog()
		n := 0
		for line := range strings.Lines(text) {
			if n++; l.take(n, []byte(line), settings, s.windows) != nil {
				return
			}
		}
		for key, score := range l.scores {
			if key.row != score.Row || score.check(settings.Recipe, s.windows) != nil {
				t.Errorf("%+v was taken up", score)
			}
		}
		Summarise(l, s.Rows, s.windows, AgainstNone(s.Rows))
	})
}
