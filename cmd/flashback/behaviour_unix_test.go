//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInterrupted sends signals to commands that wait for what nobody writes: each
// ends at once with 130, and leaves no index behind.
func TestInterrupted(t *testing.T) {
	index := wordsIndex(t, map[string]string{"a.txt": "alpha"})
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	made := filepath.Join(dir, "x.index")
	for _, args := range [][]string{
		{"index", "-", "-o", made, "--chunk", "none"},
		{"index", pipe, "-o", made, "--chunk", "none"},
		{"ask", "--index", index},
		{"generate", "--index", index, "--prompt-file", "-"},
		{"generate", "--index", index, "--prompt-file", pipe},
	} {
		for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			code, took, errs := -1, time.Duration(0), ""
			for wait := 300 * time.Millisecond; code == -1 && wait < 10*time.Second; wait *= 3 {
				code, took, errs = signalled(t, args, signal, wait) // -1: it came too early to be heard
			}
			if code != 130 || took > 3*time.Second {
				t.Errorf("%q, %v: exit code %d after %v: %s", args, signal, code, took, errs)
			}
			if _, err := os.Stat(made); err == nil {
				t.Errorf("%q leaves an index behind", args)
				os.RemoveAll(made)
			}
		}
	}
}

// signalled runs a command whose standard input stays silent, sends it a signal
// after a while and returns how and how soon it ended.
func signalled(t *testing.T, args []string, signal os.Signal, wait time.Duration) (code int, took time.Duration, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	time.Sleep(wait)
	start := time.Now()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	defer kill.Stop()
	cmd.Wait()
	return cmd.ProcessState.ExitCode(), time.Since(start), errs.String()
}

// TestFullDisk gives each command that prints a device that takes nothing.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer full.Close()
	index := wordsIndex(t, map[string]string{"a.txt": "alpha"})
	docs := filepath.Join(filepath.Dir(index), "docs")
	for _, args := range [][]string{
		{"version"}, {"--version"}, {"--help"}, {"search", "--help"}, {"models", "--json"},
		{"index", docs, "-o", index, "--chunk", "none"}, {"index", docs, "-o", index, "--chunk", "none", "--json"},
		{"index", "verify", index}, {"compact", index}, {"list", index}, {"list", index, "--json"},
		{"search", index, "alpha"}, {"search", index, "alpha", "--json"}, {"search", index, "alpha", "--format", "trec"},
		{"inspect", index}, {"inspect", index, "--json"},
	} {
		errs, err := executeWith(context.Background(), "", full, args...)
		if err == nil || !strings.Contains(err.Error(), "no space left") || !strings.Contains(errs, "flashback: ") {
			t.Errorf("%q: error %v, standard error %q", args, err, errs)
		}
		if code := exitCode(context.Background(), err); code != 1 {
			t.Errorf("%q: exit code %d, want 1", args, code)
		}
		if _, err := executeWith(context.Background(), "", io.Discard, args...); err != nil {
			t.Errorf("%q with room: %v", args, err)
		}
	}
}
