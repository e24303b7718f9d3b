package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// TestInspectShowsWhatCannotRun: of a file of an architecture and tensors that are not
// supported, what it says of itself is shown, and the architecture is what is wrong.
func TestInspectShowsWhatCannotRun(t *testing.T) {
	text := func(s string) []byte { return append(binary.LittleEndian.AppendUint64(nil, uint64(len(s))), s...) }
	number := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	file := []byte("GGUF\x03\x00\x00\x00")
	file = binary.LittleEndian.AppendUint64(file, 1)
	file = binary.LittleEndian.AppendUint64(file, 1)
	file = append(append(append(file, text("general.architecture")...), number(8)...), text("clip")...)
	file = append(append(file, text("v.patch_embd.weight")...), number(3)...)
	for _, d := range []uint64{4, 3, 2} {
		file = binary.LittleEndian.AppendUint64(file, d)
	}
	file = binary.LittleEndian.AppendUint64(append(file, number(0)...), 0)
	path := filepath.Join(t.TempDir(), "mmproj.gguf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := runCommand("inspect", path, "--tensors")
	if err == nil || !strings.Contains(err.Error(), `architecture "clip" is not supported`) {
		t.Errorf("error %v", err)
	}
	for _, part := range []string{"cannot run", "clip", "v.patch_embd.weight", "[4 3 2]", `why`} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in\n%s", part, out)
		}
	}
	out, _, _ = runCommand("inspect", path, "--json")
	var s surveyed
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Architecture != "clip" || len(s.Tensors) != 1 || s.Refused == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if out, _, err = runCommand("inspect", filepath.Join(t.TempDir(), "absent.gguf")); err == nil || out != "" {
		t.Errorf("an absent file: %q, %v", out, err)
	}
}

// TestInspectShowsWarnings: what of a file was left out is said.
func TestInspectShowsWarnings(t *testing.T) {
	f, err := gguf.Open(modeltest.WriteGGUF(t, modeltest.Tiny(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var changed gguf.Writer
	for _, key := range f.Keys() {
		v, err := f.Value(key)
		if err != nil {
			t.Fatal(err)
		}
		changed.Set(key, v)
	}
	changed.Set("tokenizer.ggml.bos_token_id", uint32(5000))
	for _, m := range f.Tensors() {
		changed.Add(m)
	}
	path := filepath.Join(t.TempDir(), "odd.gguf")
	if err := changed.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	out, _, err := runCommand("inspect", path)
	if err != nil || !strings.Contains(out, "warning  tokenizer: the bos token id 5000") {
		t.Errorf("%v\n%s", err, out)
	}
	_, log, err := runCommand("generate", "--model", path, "--prompt", "a", "--tokens", "1")
	if err != nil || !strings.Contains(log, "warning: "+path+": tokenizer: the bos token id 5000") {
		t.Errorf("%v\n%s", err, log)
	}
}
