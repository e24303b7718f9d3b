//go:build linux && !cuda && !cgo

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestStartsWithoutAnything starts the program where there is no other file: what is built
// without the tag cuda needs no loader and no library.
func TestStartsWithoutAnything(t *testing.T) {
	root := t.TempDir()
	if err := copyProgram(os.Args[0], filepath.Join(root, "flashback")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/flashback", "version")
	cmd.Env, cmd.Dir = []string{asCommand + "=1"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		if os.IsPermission(err) {
			t.Skip("no other root directory can be had here:", err)
		}
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !bytes.Contains(out.Bytes(), []byte("flashback")) {
		t.Errorf("%v: %s", err, out.Bytes())
	}
}

// copyProgram copies a file that may be run.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
