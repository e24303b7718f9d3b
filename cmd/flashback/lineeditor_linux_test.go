package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flashback-lm/flashback/internal/terminal"
)

// openTerminal returns a pseudo-terminal: what is typed on it, and the program's side.
func openTerminal(t *testing.T) (keys, in *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { keys.Close() })
	fd := int(keys.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skip(err)
	}
	if in, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { in.Close() })
	return keys, in
}

// Lines come whole, however long they are and whenever they were typed; what is pasted
// is one question, however many lines it has.
func TestLineEditor(t *testing.T) {
	long := strings.Repeat("über ", 1500)
	for _, c := range []struct {
		what, typed, want string
		early             bool // typed before the editor asks for it
	}{
		{"a line", "Where?\r", "Where?", false},
		{"edited", "Whera\x7fe?\r", "Where?", false},
		{"long", long + "end\x1b[D\x1b[D\x1b[D_\r", long + "_end", false},
		{"long and early", long + "end\r", long + "end", true},
		{"pasted", "\x1b[200~one\rtwo\r\rthree\x1b[201~ four\r", "one\ntwo\n\nthree four", false},
		{"long pasted", "\x1b[200~" + long + "\r" + long + "\x1b[201~\r", long + "\n" + long, false},
		{"pasted with a break at its end", "\x1b[200~one\r\ntwo\n\x1b[201~\r", "one\ntwo\n", false},
		{"pasted into a line", "See: \x1b[200~one\rtwo\x1b[201~, please\r", "See: one\ntwo, please", false},
	} {
		keys, in := openTerminal(t)
		restore, err := terminal.Unbuffered(in)
		if err != nil {
			t.Fatal(err)
		}
		go func() { io.WriteString(keys, c.typed) }()
		go io.Copy(io.Discard, keys) // the echo
		if c.early {
			time.Sleep(300 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got, err := newLineEditor(ctx, in, in).readLine()
		cancel()
		if err != nil || got != c.want {
			t.Errorf("%s: %d characters (…%q), %v; want %d", c.what, len(got), got[max(0, len(got)-20):], err, len(c.want))
		}
		if err := restore(); err != nil {
			t.Error(err)
		}
	}
}
