package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	put := func(s string, err error) error {
		return Write(path, func(w io.Writer) error {
			io.WriteString(w, s)
			return err
		})
	}
	if err := put("one", nil); err != nil {
		t.Fatal(err)
	}
	if err := put("two", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := put("three", broken); !errors.Is(err, broken) {
		t.Fatalf("got %v, want the error of fill", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "two" {
		t.Errorf("file holds %q after a failed write, want the one before", b)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files left, want 1", len(left))
	}
}

// TestReplaceDir fails before, between and after the renames: what stood there must
// stand, with nothing beside it.
func TestReplaceDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	file := filepath.Join(dir, "f")
	put := func(s string, after func(fresh string) error) error {
		return ReplaceDir(dir, func(fresh string) error {
			return errors.Join(WriteBytes(filepath.Join(fresh, "f"), []byte(s)), after(fresh))
		})
	}
	broken := errors.New("broken")
	for _, c := range []struct {
		text  string
		after func(fresh string) error
		fails error
		want  string
	}{
		{"one", func(string) error { return nil }, nil, "one"},
		{"two", func(string) error { return nil }, nil, "two"},
		{"three", func(string) error { return broken }, broken, "two"},
		{"four", os.RemoveAll, fs.ErrNotExist, "two"},                                                   // the second rename has nothing to move
		{"five", func(fresh string) error { return os.Mkdir(fresh+".old", 0o700) }, fs.ErrExist, "two"}, // the first is in the way
	} {
		if err := put(c.text, c.after); !errors.Is(err, c.fails) || (err == nil) != (c.fails == nil) {
			t.Errorf("%s: %v, want %v", c.text, err, c.fails)
		}
		if b, err := os.ReadFile(file); string(b) != c.want {
			t.Errorf("after %s: %q, %v; want %q", c.text, b, err, c.want)
		}
	}
	left, _ := os.ReadDir(filepath.Dir(dir))
	if len(left) != 2 { // and what the last failure put in the way
		t.Errorf("left behind: %v", left)
	}
}

func TestExactly(t *testing.T) {
	for size, want := range map[int]bool{4: false, 5: true, 6: false} {
		err := Exactly(io.Discard, size, func(w io.Writer) error {
			_, err := io.WriteString(w, "hello")
			return err
		})
		if (err == nil) != want {
			t.Errorf("5 bytes where %d are asked for: %v", size, err)
		}
	}
}
