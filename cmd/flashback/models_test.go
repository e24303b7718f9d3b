package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// noModels gives the test empty caches and a hub that is not there.
func noModels(t *testing.T) (hfHome string) {
	root := t.TempDir()
	for _, key := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH"} {
		t.Setenv(key, "")
	}
	t.Setenv("FLASHBACK_CACHE", filepath.Join(root, "flashback"))
	t.Setenv("HF_HOME", filepath.Join(root, "hf"))
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("PATH", root)
	return filepath.Join(root, "hf")
}

// runCommand runs a command line and returns what it wrote to each side.
func runCommand(args ...string) (stdout, stderr string, err error) {
	var out bytes.Buffer
	stderr, err = executeWith(context.Background(), "", &out, args...)
	return out.String(), stderr, err
}

func TestModels(t *testing.T) {
	hf := noModels(t)
	if out, errs, err := runCommand("models"); err != nil || out != "" || !strings.Contains(errs, "flashback pull smollm2-135m") {
		t.Errorf("without models: %q, %q, %v", out, errs, err)
	}
	if out, _, err := runCommand("models", "--json"); err != nil || out != "[]\n" {
		t.Errorf("without models: %q, %v; want an empty list", out, err)
	}
	path := filepath.Join(hf, "hub", "models--owner--name", "snapshots", strings.Repeat("a", 40), "f.gguf")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, 1234), 0o644); err != nil {
		t.Fatal(err)
	}
	name := "hf:owner/name@" + strings.Repeat("a", 40) + ":f.gguf"
	out, _, err := runCommand("models")
	for _, part := range []string{"NAME", name, "1.2 kB", "hf-cache", path} {
		if err != nil || !strings.Contains(out, part) {
			t.Errorf("table %q, %v: want %q in it", out, err, part)
		}
	}
	out, _, err = runCommand("models", "--json")
	var list []hub.Model
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 || list[0] != (hub.Model{Name: name, Size: 1234, Path: path, Source: hub.SourceHub}) {
		t.Errorf("JSON %q, %v", out, err)
	}
	if out, _, err := runCommand("pull", name); err != nil || !strings.Contains(out, path) { // a pinned commit, and here
		t.Errorf("pull: %q, %v", out, err)
	}
}

func TestExitCodes(t *testing.T) {
	noModels(t)
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.gguf")
	if err := os.WriteFile(junk, []byte("<html>This is what a proxy answered.</html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		code int
	}{
		{"models", 0},
		{"pull --help", 0},
		{"pull", 2},
		{"pull a b", 2},
		{"models x", 2},
		{"models --jsom", 2},
		{"inspect", 2},
		{"inspect smollm2-135m --context 0", 2},
		{"inspect smollm2-135m --context many", 2},
		{"inspect smollm2-135m", 1},
		{"inspect " + junk, 1},
		{"inspect " + dir + "/none.gguf", 1},
		{"pull hf:owner/name:f.gguf", 1},
		{"pull hf:owner", 1},
		{"pull smollm2-135m", 1},
	} {
		err := execute(t.Context(), strings.Fields(c.line), strings.NewReader(""), io.Discard, io.Discard)
		if code := exitCode(t.Context(), err); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.line, code, c.code)
		}
	}
}

func TestInspectBadFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	for name, c := range map[string]struct {
		fill func(*gguf.Writer)
		want string
	}{
		"no keys":      {func(*gguf.Writer) {}, "general.architecture"},
		"another kind": {func(w *gguf.Writer) { w.Set("general.architecture", "mamba") }, "mamba"},
		"half a model": {func(w *gguf.Writer) {
			w.Set("general.architecture", "llama")
			w.Set("llama.block_count", uint32(2))
			w.Add(tensor.Matrix{Name: "t", Type: tensor.F32, Rows: 1, Cols: 1, Data: make([]byte, 4)})
		}, "llama.embedding_length"},
	} {
		w := &gguf.Writer{}
		c.fill(w)
		if err := w.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		_, _, err := runCommand("inspect", path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want the file and %q", name, err, c.want)
		}
	}
}

func TestInspect(t *testing.T) {
	path := hubtest.Model(t)
	out, _, err := runCommand("inspect", path, "--json", "--context", "2048", "--kv", "f16")
	if err != nil {
		t.Fatal(err)
	}
	var got inspection
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	tensors := got.Tensors
	got.Tensors = nil
	want := inspection{
		Name: path, Path: path, Size: 98362432, Digest: "3769a748d69fe1ad748022ef66b1a7c60a8d3ce646f94b5cedfd281f22caa87c", // adapters on disk name it
		Config: configFacts{
			Family: "llama", Name: got.Config.Name, Parameters: 134515008, Layers: 30, Hidden: 576, Heads: 9, KVHeads: 3, HeadDim: 64,
			FF: 1536, Context: 8192, Vocab: 49152, RopeBase: 1e5, Positions: "rotary, base 100000", NormEps: 1e-5, TiedHead: true,
		},
		Types:     []typeFacts{{"Q4_1", 210, 106168320, 66355200}, {"Q8_0", 1, 28311552, 30081024}, {"F32", 61, 35136, 140544}},
		Tokenizer: tokenizerFacts{Model: "gpt2", Pre: "smollm", Tokens: 49152, Merges: 48900, Special: 17, BOS: "<|im_start|>", EOS: "<|im_end|>", Ends: []string{"<|endoftext|>", "<|im_end|>"}, ChatTemplate: true},
		Card:      got.Card, // of this machine
		Memory: memoryFacts{
			Context: 2048, Compute: "fast", KVFormat: "f16", Mapped: 98362432, Weights: 66355200 + 30081024, // Q4_1 and Q8_0 keep their size
			KV: 30 * 2 * 3 * 64 * 2 * 2048, KVPerPos: 30 * 2 * 3 * 64 * 2, Work: got.Memory.Work, Program: 32<<20 + 256*(49152+48900),
		},
	}
	want.Memory.Total = want.Memory.Weights + want.Memory.KV + want.Memory.Work + want.Memory.Program
	if got.Memory.Work < 10e6 || got.Memory.Work > 15e6 {
		t.Errorf("buffers of %d bytes", got.Memory.Work)
	}
	a, _ := json.MarshalIndent(got, "", " ")
	b, _ := json.MarshalIndent(want, "", " ")
	if !bytes.Equal(a, b) {
		t.Errorf("got %s\nwant %s", a, b)
	}
	if len(tensors) != 272 || tensors[0] != (tensorFacts{"token_embd.weight", "Q8_0", 49152, 576, 30081024}) {
		t.Errorf("%d tensors, the first %+v", len(tensors), tensors[0])
	}
	out, _, err = runCommand("inspect", path, "--tensors", "--compute", "exact")
	for _, part := range []string{"tied to the embedding", "memory at 8192 tokens", "377.5 MB in f32", "blk.29.ffn_up.weight"} {
		if err != nil || !strings.Contains(out, part) {
			t.Errorf("%q, %v: want %q in it", out, err, part)
		}
	}
	if _, _, err := runCommand("inspect", path, "--context", "8193"); err == nil || !strings.Contains(err.Error(), "8192 tokens at most") {
		t.Errorf("a context that is too long: %v", err)
	}
}

// TestDirectory: a Hugging Face directory goes where a GGUF file does, and its weights can
// be rounded.
func TestDirectory(t *testing.T) {
	const dir = "../../internal/model/testdata/llama3"
	if out, _, err := runCommand("inspect", dir); err != nil || !strings.Contains(out, "BF16") {
		t.Errorf("inspect: %v, %q", err, out)
	}
	generate := func(more ...string) (string, error) {
		out, _, err := runCommand(append([]string{"generate", "--model", dir, "--prompt", "hello", "--tokens", "12", "--compute", "exact", "--verify", "--ignore-eos"}, more...)...)
		return out, err
	}
	plain, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	rounded, err := generate("--quantize", "q4_0")
	if err != nil || rounded == plain {
		t.Errorf("rounded to 4 bits it writes %q, %v", rounded, err)
	}
	if _, err := generate("--quantize", "q5_k"); err == nil || !strings.Contains(err.Error(), "use q8_0, q4_0 or q4_k") {
		t.Errorf("q5_k: %v", err)
	}
}
