package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// tinyModel writes a tiny model to a file.
func tinyModel(t *testing.T, seed uint64) string {
	t.Helper()
	return modeltest.WriteGGUF(t, modeltest.Tiny(seed))
}

// tinyAdapter writes an adapter of the model in the file, with marks, and returns its
// directory.
func tinyAdapter(t *testing.T, path string, edit func(*lora.Info)) string {
	t.Helper()
	m, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a := lora.New(lora.Config{Rank: 2, Alpha: 4, Targets: []model.Role{model.Q, model.V}, Base: "tiny"}, lora.ShapeOf(&m.Weights), 1)
	a.AddMarks(quant.MeanRow(m.Tensors[model.Embedding]), 1)
	a.Info.Base, a.Info.Placement, a.Info.Echo, a.Info.Passages = m.Digest(), "append", 3, 2
	if edit != nil {
		edit(&a.Info)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := lora.Write(dir, a); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMerge(t *testing.T) {
	path := tinyModel(t, 1)
	adapter := tinyAdapter(t, path, nil)
	for _, format := range []string{"gguf", "hf"} {
		merged := filepath.Join(t.TempDir(), "merged")
		out, _, err := runCommand("merge", "--adapter", adapter, "--model", path, "-o", merged, "--format", format)
		if err != nil || !strings.Contains(out, "--placement append --echo 3 --k 2") || !strings.Contains(out, "<MARK_R> (301)") {
			t.Fatalf("%v\n%s", err, out)
		}
		if format == "hf" {
			if _, err := os.Stat(filepath.Join(merged, "config.json")); err != nil {
				t.Error(err)
			}
			continue
		}
		if _, errs, err := runCommand("generate", "--model", merged, "--prompt", "ab", "--tokens", "2"); err != nil {
			t.Errorf("the merged model does not write: %v\n%s", err, errs)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	path := tinyModel(t, 1)
	adapter := tinyAdapter(t, path, nil)
	for name, args := range map[string][]string{
		"no adapter":     {"-o", "x"},
		"no output":      {"--adapter", adapter},
		"unknown format": {"--adapter", adapter, "-o", "x", "--format", "onnx"},
		"quantised":      {"--adapter", adapter, "-o", "x", "--type", "q4_0"},
		"an argument":    {"--adapter", adapter, "-o", "x", "y"},
	} {
		_, _, err := runCommand(append([]string{"merge"}, args...)...)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
	activated := tinyAdapter(t, path, func(i *lora.Info) { i.Activated = true })
	for _, c := range []struct{ model, adapter, want string }{
		{tinyModel(t, 2), adapter, "trained on a base model"},
		{path, activated, "activated"},
		{path, t.TempDir(), "no adapter is there"},
	} {
		merged := filepath.Join(t.TempDir(), "merged")
		_, _, err := runCommand("merge", "--adapter", c.adapter, "--model", c.model, "-o", merged)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want an error with %q", err, c.want)
		}
		if _, err := os.Stat(merged); err == nil {
			t.Errorf("%s: a file was written", c.want)
		}
	}
}
