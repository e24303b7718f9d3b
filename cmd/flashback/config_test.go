package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// configure reads a file, variables and a command line for the flags of a command.
func configure(t *testing.T, file string, variables map[string]string, args ...string) (*cobra.Command, *config, error) {
	t.Helper()
	cmd := &cobra.Command{Use: "x"}
	var budget byteSize
	fs := cmd.Flags()
	fs.String("listen", "here", "")
	fs.Int("max-queue", 256, "")
	fs.Bool("share", false, "")
	fs.Duration("wait", 0, "")
	fs.StringArray("index", nil, "")
	fs.Var(&budget, "kv-budget", "")
	c := &config{}
	c.add(cmd)
	if file != "" {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return cmd, c, c.read(fs, func(name string) string { return variables[name] })
}

// The command line is stronger than a variable, and that than the file; what is printed
// sets the same again.
func TestConfig(t *testing.T) {
	const file = "# ours\nlisten: \"file\"\nmax-queue: 7\nshare: true\nwait: 1m30s\nindex: [a=1, 'b=x,y']\nkv-budget: 4GB\n"
	cmd, c, err := configure(t, file, map[string]string{"FLASHBACK_LISTEN": "variable", "FLASHBACK_MAX_QUEUE": "8", "FLASHBACK_SHARE": "", "FLASHBACK_PORT": "tcp://x"}, "--max-queue", "9")
	if err != nil {
		t.Fatal(err)
	}
	values := func(cmd *cobra.Command) string {
		var s []string
		for _, name := range []string{"listen", "max-queue", "share", "wait", "index", "kv-budget"} {
			s = append(s, cmd.Flags().Lookup(name).Value.String())
		}
		return strings.Join(s, " ")
	}
	if got, want := values(cmd), "variable 9 true 1m30s [a=1,\"b=x,y\"] 4000000000"; got != want {
		t.Errorf("set to %s, want %s", got, want)
	}
	printed, err := c.show(cmd.Flags())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# --max-queue\nmax-queue: 9\n", "# FLASHBACK_LISTEN\nlisten: variable\n", "c.yaml:4\nshare: true\n"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is not in\n%s", want, printed)
		}
	}
	again, _, err := configure(t, printed, nil)
	if err != nil || values(again) != values(cmd) {
		t.Errorf("what is printed sets %s (%v):\n%s", values(again), err, printed)
	}
	several, _, err := configure(t, "", map[string]string{"FLASHBACK_INDEX": "a=1,b=2"})
	if got := several.Flags().Lookup("index").Value.String(); err != nil || got != "[a=1,b=2]" {
		t.Errorf("a variable sets several to %s: %v", got, err)
	}
}

// Passwords are not printed.
func TestConfigMasks(t *testing.T) {
	cmd, c, err := configure(t, "listen: https://me:secret@example.org/x\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if printed, err := c.show(cmd.Flags()); err != nil || strings.Contains(printed, "secret") || !strings.Contains(printed, "me:xxxxx@example.org") {
		t.Errorf("%v:\n%s", err, printed)
	}
}

// What is wrong with a file or a variable is told by its line or its name.
func TestConfigErrors(t *testing.T) {
	for file, want := range map[string]string{
		"listen: a\nlisen: b\n":          `c.yaml:2: there is no "lisen"`,
		"config: x\n":                    `c.yaml:1: there is no "config"`,
		"help: true\n":                   `c.yaml:1: there is no "help"`,
		"listen: a\nlisten: b\n":         "already defined|c.yaml:2: listen is set twice",
		"- a\n":                          "c.yaml:1: give lines of the form",
		"max-queue: many\n":              "c.yaml:1: max-queue: invalid argument",
		"\nmax-queue: [1, 2]\n":          "c.yaml:2: max-queue: takes one value",
		"listen:\n":                      "c.yaml:1: listen: give a value",
		"listen: {a: b}\n":               "c.yaml:1: listen: give a value",
		"index: [[a]]\n":                 "c.yaml:1: index: give a value",
		"max-queue: &a 1\nlisten: *a\n":  "c.yaml:2: listen: give a value",
		"listen: [\n":                    "c.yaml: yaml:",
		strings.Repeat("#", maxConfig+1): "larger than 1 MiB",
	} {
		_, _, err := configure(t, file, nil)
		ok := false
		for _, w := range strings.Split(want, "|") {
			ok = ok || err != nil && strings.Contains(err.Error(), w)
		}
		if !ok || exitCode(t.Context(), err) != 2 {
			t.Errorf("%.40q: %v, want %s", file, err, want)
		}
	}
	if _, _, err := configure(t, "", map[string]string{"FLASHBACK_MAX_QUEUE": "many"}); err == nil || !strings.HasPrefix(err.Error(), "FLASHBACK_MAX_QUEUE: ") {
		t.Error(err)
	}
	if _, _, err := configure(t, "", map[string]string{"FLASHBACK_CONFIG": "/no/such/file"}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "listen: a\n", "index: [a, b]\n", "a: &x [*x]\n", "? [a]\n: b\n", "---\n---\n", "<<: {listen: b}\n", "!!binary a: b\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd, c, err := configure(t, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.parse(cmd.Flags(), data)
	})
}
