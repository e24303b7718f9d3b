package model_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// untied returns the tiny model with a head of its own, which has the embedding's numbers.
func untied() *model.Weights {
	w := modeltest.Tiny(1)
	w.Tensors[model.Head].Name = "output.weight"
	return w
}

// open loads the model from a file of its own.
func open(t *testing.T, w *model.Weights) *model.Model {
	t.Helper()
	m, err := model.Load(modeltest.WriteGGUF(t, w))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestDigestsStay: adapters carry the digest of their base, so a model's must be what it
// was when they were trained.
func TestDigestsStay(t *testing.T) {
	for want, w := range map[string]*model.Weights{
		"7475bb2331b6f7886dfcef8822f6e0ef4ba99eb8bc2401c0bee75b132c747c31": modeltest.Tiny(1),
		"70aca7e9926661b85cbf3db8fcbaed32389521414b9318313e1b5b543b90e4a5": untied(),
	} {
		if got := open(t, w).Digest(); got != want {
			t.Errorf("the digest is %s and was %s", got, want)
		}
	}
}

func TestDigestOfDefaultModelStays(t *testing.T) {
	m, err := model.Load(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const want = "3769a748d69fe1ad748022ef66b1a7c60a8d3ce646f94b5cedfd281f22caa87c"
	if got := m.Digest(); got != want {
		t.Errorf("the digest is %s and was %s", got, want)
	}
}

// TestLoadBindsTheList: every tensor of the list comes from the file under its name, and
// a head that the file lacks is the embedding.
func TestLoadBindsTheList(t *testing.T) {
	for _, w := range []*model.Weights{modeltest.Tiny(1), untied()} {
		m, seen := open(t, w), 0
		for s, got := range m.All() {
			seen++
			name := s.GGUF
			if s.Role == model.Head && w.Tied() {
				name = "token_embd.weight"
			}
			if got.Name != name || got.Rows != s.Rows || got.Cols != s.Cols {
				t.Errorf("%s of layer %d is %s [%d, %d], listed is %s [%d, %d]", s.Role, s.Layer, got.Name, got.Rows, got.Cols, name, s.Rows, s.Cols)
			}
		}
		if seen != 3+2*9 || m.Tied() != w.Tied() {
			t.Errorf("%d tensors, tied %v", seen, m.Tied())
		}
	}
}

// rewrite writes the tiny model's file with changes and loads it.
func rewrite(t *testing.T, change func(out *gguf.Writer), drop string) (*model.Model, error) {
	t.Helper()
	f, err := gguf.Open(modeltest.WriteGGUF(t, modeltest.Tiny(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out gguf.Writer
	for _, key := range f.Keys() {
		v, err := f.Value(key)
		if err != nil {
			t.Fatal(err)
		}
		out.Set(key, v)
	}
	for _, m := range f.Tensors() {
		if m.Name != drop {
			out.Add(m)
		}
	}
	change(&out)
	path := filepath.Join(t.TempDir(), "changed.gguf")
	if err := out.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return model.Load(path)
}

func vector(name string, cols int) tensor.Matrix {
	return tensor.Matrix{Name: name, Type: tensor.F32, Rows: 1, Cols: cols, Data: make([]byte, 4*cols)}
}

// TestLoadRefuses: what the file has and the arithmetic would leave out, and what it
// lacks, is named.
func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(out *gguf.Writer)
		drop   string
		want   []string
	}{
		"bias":         {func(out *gguf.Writer) { out.Add(vector("blk.0.attn_q.bias", 64)) }, "", []string{"blk.0.attn_q.bias", "no biases"}},
		"experts":      {func(out *gguf.Writer) { out.Add(vector("blk.1.ffn_gate_exps.weight", 64)) }, "", []string{"blk.1.ffn_gate_exps.weight", "no experts"}},
		"another norm": {func(out *gguf.Writer) { out.Add(vector("blk.0.attn_q_norm.weight", 16)) }, "", []string{"blk.0.attn_q_norm.weight", "[1, 16]", "another model"}},
		"more layers":  {func(out *gguf.Writer) { out.Add(vector("blk.2.attn_norm.weight", 64)) }, "", []string{"blk.2.attn_norm.weight", "another model"}},
		"missing":      {func(*gguf.Writer) {}, "blk.1.ffn_up.weight", []string{"no tensor", "blk.1.ffn_up.weight"}},
		"shape": {func(out *gguf.Writer) { out.Add(vector("blk.1.ffn_norm.weight", 32)) }, "blk.1.ffn_norm.weight",
			[]string{"blk.1.ffn_norm.weight", "[1, 32]", "[1, 64]"}},
		"architecture": {func(out *gguf.Writer) { out.Set("general.architecture", "bert") }, "", []string{`"bert"`, "reads llama models"}},
		"heads":        {func(out *gguf.Writer) { out.Set("llama.attention.head_count_kv", uint32(3)) }, "", []string{"4 query heads", "3 KV heads"}},
		"no layers":    {func(out *gguf.Writer) { out.Set("llama.block_count", uint32(0)) }, "", []string{"llama.block_count", "from 1"}},
	} {
		m, err := rewrite(t, c.change, c.drop)
		if err == nil {
			m.Close()
			t.Errorf("%s: loaded", name)
			continue
		}
		for _, part := range append(c.want, "changed.gguf") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
	}
}

// TestLoadKnowsHarmlessTensors: factors go to the configuration, and frequencies restate it.
func TestLoadKnowsHarmlessTensors(t *testing.T) {
	m, err := rewrite(t, func(out *gguf.Writer) {
		factors := vector("rope_freqs.weight", 8)
		for i := range 8 {
			copy(factors.Data[4*i:], []byte{0, 0, 0, 0x40}) // 2
		}
		out.Add(factors)
		out.Add(vector("blk.0.attn_rot_embd.weight", 8))
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if f := m.Config.RopeFactors; len(f) != 8 || f[7] != 2 {
		t.Errorf("factors %v", f)
	}
}
