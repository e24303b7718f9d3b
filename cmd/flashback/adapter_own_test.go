package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/hub"
)

// TestOwnAdapter: the adapter that comes with the program is taken for the default model, unless
// the command line says otherwise.
func TestOwnAdapter(t *testing.T) {
	for line, own := range map[string]bool{
		"--index i":                                   true,
		"--index i --placement append":                true,
		"--index i -k 2":                              true,
		"--index i --placement virtual":               false,
		"--index i --adapter none":                    false,
		"--placement none":                            false,
		"--index i --model another.gguf":              false,
		"--index i --model " + flashback.DefaultModel: true,
	} {
		cmd := &cobra.Command{}
		var m modelFlags
		m.add(cmd)
		f := newRequestFlags(cmd, flashback.AnswerDefaults(), true)
		if err := cmd.ParseFlags(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		if err := f.adapter.choose(cmd, m.model, f.Placement); err != nil {
			t.Fatal(err)
		}
		r, err := f.request(cmd, false)
		if err != nil {
			t.Fatal(err)
		}
		if f.adapter.own != own {
			t.Errorf("%s: the adapter is taken: %v", line, f.adapter.own)
		}
		if want := 1; own && (r.Placement != "append" || *r.Echo != flashback.EchoTurn || r.Passages != want && !strings.Contains(line, "-k")) {
			t.Errorf("%s: asks with placement %s, echo %d, %d passages", line, r.Placement, *r.Echo, r.Passages)
		}
	}
}

// TestAskWithOwnAdapter: the default model answers with it what it does not answer alone, and says so.
func TestAskWithOwnAdapter(t *testing.T) {
	if _, err := hub.Resolve(flashback.DefaultModel); err != nil {
		t.Skip(err)
	}
	_, index := indexed(t)
	ask := func(more ...string) (answer, said string) {
		var out bytes.Buffer
		said, err := executeWith(t.Context(), "", &out, append([]string{"ask", "--index", index, "--tokens", "24", "When does the gardener water the roses?"}, more...)...)
		if err != nil {
			t.Fatal(err)
		}
		answer, _, _ = strings.Cut(out.String(), "\n\n")
		return answer, said
	}
	if answer, said := ask(); answer != "at six in the morning" && answer != "six in the morning" || !strings.Contains(said, "--adapter none") {
		t.Errorf("with the adapter the answer is %q, and standard error says %q", answer, said)
	}
	if answer, said := ask("--adapter", "none"); len(strings.Fields(answer)) < 8 || strings.Contains(said, "adapter") {
		t.Errorf("without it the answer is %q, and standard error says %q", answer, said)
	}
}
