//go:build unix

package bm25

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user to whom permissions apply.
const nobody = 65534

// TestReadOnlyDirectory changes an index that may only be read, in a process of a
// user to whom that applies: each change says so and leaves the index as it was.
func TestReadOnlyDirectory(t *testing.T) {
	// Of its own rather than T's, whose directories other users cannot enter.
	room, err := os.MkdirTemp("", "readonly")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		chmod(t, room, 0o777, 0o666)
		os.RemoveAll(room)
	})
	old, _ := crashCorpus()
	dir, empty := filepath.Join(room, "index"), filepath.Join(room, "empty")
	if err := os.CopyFS(dir, os.DirFS(build(t, old[:500], BuildOptions{}))); err != nil {
		t.Fatal(err)
	}
	if _, err := Add(t.Context(), dir, all(old[500:]), BuildOptions{}); err != nil { // so that there is something to compact
		t.Fatal(err)
	}
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	exe = filepath.Join(room, "program")
	if err := os.WriteFile(exe, program, 0o777); err != nil {
		t.Fatal(err)
	}
	chmod(t, room, 0o555, 0o444)
	if err := os.Chmod(exe, 0o555); err != nil {
		t.Fatal(err)
	}
	queries := []string{"w1 w2 w3", old[3].Text}
	before, err := answers(dir, queries)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ step, dir string }{
		{"build", empty}, {"build", filepath.Join(empty, "new")}, {"build", dir}, {"add", dir}, {"delete", dir}, {"compact", dir},
	} {
		cmd := crashCommand(exe, tc.step, tc.dir)
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := cmd.CombinedOutput()
		if _, ran := err.(*exec.ExitError); err != nil && !ran {
			t.Skipf("cannot run as another user, so permissions do not count here: %v", err)
		}
		if said := string(out); err == nil || !strings.Contains(said, "permission denied") || !strings.Contains(said, tc.dir) {
			t.Errorf("%s in %s: %v, %s", tc.step, tc.dir, err, said)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("the empty directory holds %v, %v", left, err)
	}
	if after, err := answers(dir, queries); err != nil || !slices.Equal(after, before) {
		t.Errorf("the index changed: %v", err)
	}
}

// chmod gives all below root, and root, their permissions.
func chmod(t *testing.T, root string, dirs, files fs.FileMode) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, dirs)
		}
		return os.Chmod(path, files)
	})
	if err != nil {
		t.Error(err)
	}
}
