package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSync follows a folder through the command, and checks what it says.
func TestSync(t *testing.T) {
	room := t.TempDir()
	notes, index := filepath.Join(room, "notes"), filepath.Join(room, "notes.index")
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(notes, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(notes, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	says := func(want []string, args ...string) {
		t.Helper()
		out, log, err := runCommand(append([]string{"sync"}, args...)...)
		if err != nil {
			t.Fatalf("%v: %v, %s", args, err, log)
		}
		for _, w := range want {
			if !strings.Contains(out+log, w) {
				t.Errorf("%v: %q is not in\n%s%s", args, w, out, log)
			}
		}
	}
	put("a.md", "Apollo launches rockets.")
	put("b.md", "Zeus presses oil.")
	put("c.tmp", "left out")
	says([]string{"2 passages read, 2 new"}, notes, "-o", index, "--chunk", "words:100", "--exclude", "*.tmp")
	put("a.md", "Apollo rests.")
	if err := os.Rename(filepath.Join(notes, "b.md"), filepath.Join(notes, "z.md")); err != nil {
		t.Fatal(err)
	}
	says([]string{"changed  notes/a.md", "renamed  notes/b.md -> notes/z.md", "1 changed, 1 renamed"}, "-o", index)
	put("\x1b[31mred.md", "red")
	says([]string{"new      notes/", "[31mred.md", "2 as they were"}, "-o", index)
	if err := os.RemoveAll(notes); err != nil {
		t.Fatal(err)
	}
	says([]string{"is not there", "3 kept"}, "-o", index)
	for _, args := range [][]string{{"-o", filepath.Join(room, "none")}, {notes}, {"-", "-o", index}, {filepath.Join(room, "none"), "-o", index}} {
		if _, _, err := runCommand(append([]string{"sync"}, args...)...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
