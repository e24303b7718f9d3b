package stream

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReader(t *testing.T) {
	text := strings.Repeat("a line\n", 100_000)
	if err := iotest.TestReader(Reader(t.Context(), strings.NewReader(text)), []byte(text)); err != nil {
		t.Error(err)
	}
	bad := errors.New("bad")
	if _, err := io.ReadAll(Reader(t.Context(), iotest.ErrReader(bad))); err != bad {
		t.Errorf("error %v, want that of the reader", err)
	}
}

// TestCancelled cancels a read that would never end.
func TestCancelled(t *testing.T) {
	silent, end := io.Pipe()
	defer end.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := io.ReadAll(Reader(ctx, silent)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestClosed(t *testing.T) {
	silent, end := io.Pipe()
	defer end.Close()
	r := Reader(t.Context(), silent)
	time.AfterFunc(20*time.Millisecond, func() { r.Close() })
	if _, err := io.ReadAll(r); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error %v, want fs.ErrClosed", err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("text"), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "none")} {
		if _, err := Open(t.Context(), path); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}
