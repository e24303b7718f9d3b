//go:build unix

package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	return path
}

func TestSilentPipe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Open(ctx, pipe(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestPipe(t *testing.T) {
	path := pipe(t)
	r, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go os.WriteFile(path, []byte("text"), 0)
	if data, err := io.ReadAll(r); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
}
