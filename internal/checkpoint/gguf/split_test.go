package gguf

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// part returns a part of a model of two tensors, as gguf-split writes it.
func part(no, count int, tensors ...string) *Writer {
	w := &Writer{}
	w.Set("split.no", uint16(no))
	w.Set("split.count", uint16(count))
	w.Set("split.tensors.count", int32(2))
	if no == 0 {
		w.Set("general.architecture", "llama")
	}
	for _, name := range tensors {
		w.Add(tensor.Matrix{Name: name, Type: tensor.F32, Rows: 1, Cols: 1, Data: []byte(name + "...")[:4]})
	}
	return w
}

// TestSplit: whichever part is opened, the model is whole.
func TestSplit(t *testing.T) {
	dir := t.TempDir()
	for i, w := range []*Writer{part(0, 3, "a"), part(1, 3), part(2, 3, "b")} {
		if err := w.WriteFile(filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	first := filepath.Join(dir, "m-00001-of-00003.gguf")
	for no := 1; no <= 3; no++ {
		name, _, _ := PartName(first, no)
		f, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		for i := 1; i <= 3; i++ {
			name, _, _ := PartName(first, i)
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if f.Path() != first || len(f.Tensors()) != 2 || f.Size() != size {
			t.Errorf("%s: %s with %d tensors in %d bytes, want %d", name, f.Path(), len(f.Tensors()), f.Size(), size)
		}
		if b, err := f.Tensor("b"); err != nil || !bytes.Equal(b.Data, []byte("b...")) {
			t.Errorf("%s: b is %q, %v", name, b.Data, err)
		}
		if s, err := f.String("general.architecture"); s != "llama" {
			t.Errorf("%s: architecture %q, %v", name, s, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]*Writer
		want  string
	}{
		"another name":   {map[string]*Writer{"m.gguf": part(0, 2, "a")}, "not named so"},
		"another count":  {map[string]*Writer{"m-00001-of-00003.gguf": part(0, 2, "a")}, "not named so"},
		"one missing":    {map[string]*Writer{"m-00001-of-00002.gguf": part(0, 2, "a")}, "part 2, "},
		"the first gone": {map[string]*Writer{"m-00002-of-00002.gguf": part(1, 2, "a")}, "part 1, "},
		"a foreign part": {map[string]*Writer{"m-00001-of-00002.gguf": part(0, 2, "a"), "m-00002-of-00002.gguf": part(1, 2, "a")}, "is in another part too"},
		"a whole file":   {map[string]*Writer{"m-00001-of-00002.gguf": part(0, 2, "a"), "m-00002-of-00002.gguf": {}}, "says that it is part 1 of 1"},
		"the same twice": {map[string]*Writer{"m-00001-of-00002.gguf": part(0, 2, "a"), "m-00002-of-00002.gguf": part(0, 2, "b")}, "its name says 2 of 2"},
		"too few":        {map[string]*Writer{"m-00001-of-00002.gguf": part(0, 2, "a"), "m-00002-of-00002.gguf": part(1, 2)}, "have 1 tensors together"},
		"beyond":         {map[string]*Writer{"m-00001-of-00002.gguf": part(2, 2, "a")}, "part 3 of 2"},
	} {
		dir, open := t.TempDir(), ""
		for file, w := range c.files {
			path := filepath.Join(dir, file)
			if err := w.WriteFile(path); err != nil {
				t.Fatal(err)
			}
			if open == "" || path < open {
				open = path
			}
		}
		f, err := Open(open)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one with %q and the path", name, err, c.want)
		}
	}
}

// FuzzSplit: whatever the other part holds, opening does not panic.
func FuzzSplit(f *testing.F) {
	dir := f.TempDir()
	first, second := filepath.Join(dir, "m-00001-of-00002.gguf"), filepath.Join(dir, "m-00002-of-00002.gguf")
	if err := part(0, 2, "a").WriteFile(first); err != nil {
		f.Fatal(err)
	}
	for _, w := range []*Writer{part(1, 2, "b"), part(1, 2, "a"), part(0, 2)} {
		if err := w.WriteFile(second); err != nil {
			f.Fatal(err)
		}
		data, err := os.ReadFile(second)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(second, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{first, second} {
			if m, err := Open(path); err == nil {
				m.Close()
			}
		}
	})
}
