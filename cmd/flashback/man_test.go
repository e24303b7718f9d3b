package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Each command has a page, with its options and examples.
func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	cmd := newRoot()
	cmd.SetArgs([]string{"man", dir})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, c := range newRoot().Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		page, err := os.ReadFile(filepath.Join(dir, "flashback-"+c.Name()+".1"))
		if err != nil {
			t.Error(err)
		}
		if !bytes.Contains(page, []byte(".TH ")) || !bytes.Contains(page, []byte("flashback-"+c.Name())) {
			t.Errorf("the page of %s is %.200s", c.Name(), page)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "flashback-serve.1"))
	if err != nil || !bytes.Contains(page, []byte(`--listen`)) && !bytes.Contains(page, []byte(`\-\-listen`)) || !bytes.Contains(page, []byte("EXAMPLE")) {
		t.Errorf("%v: the page of serve has no options or examples: %.300s", err, page)
	}
}
