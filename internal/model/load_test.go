package model_test

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
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

// TestDigestsOfFamiliesStay has one model a family, of internal/model/modeltest.
func TestDigestsOfFamiliesStay(t *testing.T) {
	want := map[string]string{
		"gpt2":         "8b793c9113813469579c758b79e1d9a11c80c7d5977d546881b1d90377fc8ecb",
		"opt-350m":     "4697a0b69424ed4b62955ee26db70f58a28af6cb5a09bd064a480228c957eaf9",
		"opt":          "19ac866311d319aac9b9a94acfe454f70af43f087bf968adaaac2c30b5ea9269",
		"phi3-long":    "978c86656a7109d8432e522025e793740d6d7648745a8c9df0322badef0c9882",
		"gemma2":       "16b060ef7b0f98696c012ed0ed2e4b4abd0cc9578c327bb14310baa5f20a3232",
		"gemma3":       "517a6dbfe35e192c7e4b607b497b0d53619f7d47fbd985eae8044961fcc17c39",
		"llama-linear": "0242908f548fe02956f09f2ce9eb7729f1d1298d92e7164e666ce1bd1e72450f",
		"llama-yarn":   "0242908f548fe02956f09f2ce9eb7729f1d1298d92e7164e666ce1bd1e72450f",
		"llama3":       "0242908f548fe02956f09f2ce9eb7729f1d1298d92e7164e666ce1bd1e72450f",
		"mistral":      "0242908f548fe02956f09f2ce9eb7729f1d1298d92e7164e666ce1bd1e72450f",
		"phi3":         "978c86656a7109d8432e522025e793740d6d7648745a8c9df0322badef0c9882",
		"qwen2":        "69bbb12b69c8f763cb3abbfef494cb0c3f6fb81b8b82387dbd602477b5e19cc8",
		"qwen3":        "9ddec7d959046221656bdf2364f4be97724f060af1741fa24bfc7d7faee2fe7f",
		"smollm3":      "ebab25fe637aad9edf2c02561aa82e79809f2c65f4f92cbfb9a88b05cef36ae8",
	}
	for _, name := range modeltest.Families(t) {
		if got := modeltest.Family(t, name).Digest(); got != want[name] {
			t.Errorf("%q: %q", name, got)
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
		"architecture": {func(out *gguf.Writer) { out.Set("general.architecture", "bert") }, "", []string{`"bert"`, "reads gemma2, gemma3, gpt2, llama"}},
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

// TestRopeScaling: whatever the form that a file gives a factor in, the frequencies are
// divided by what llama.cpp divides them by; what is not computed is named.
func TestRopeScaling(t *testing.T) {
	type keys map[string]any
	for name, c := range map[string]struct {
		keys    keys
		factors float32 // rope_freqs.weight: all this; 0: none
		want    float32 // all factors; 0: an error
		message string
	}{
		"a type":              {keys{"scaling.type": "linear", "scaling.factor": float32(4)}, 0, 4, ""},
		"factor 1":            {keys{"scaling.type": "linear", "scaling.factor": float32(1)}, 0, 1, ""},
		"a bare factor":       {keys{"scaling.factor": float32(4)}, 0, 4, ""},
		"scale_linear":        {keys{"scale_linear": float32(2)}, 0, 2, ""},
		"scale_linear, typed": {keys{"scale_linear": float32(2), "scaling.type": "linear"}, 0, 2, ""},
		"both names":          {keys{"scaling.factor": float32(4), "scale_linear": float32(2)}, 0, 4, ""},
		"a whole number":      {keys{"scaling.factor": uint32(4)}, 0, 4, ""},
		"none":                {keys{"scaling.type": "none", "scaling.factor": float32(4)}, 0, 1, ""},
		"none, scale_linear":  {keys{"scaling.type": "none", "scale_linear": float32(4)}, 0, 1, ""},
		"0 is none":           {keys{"scaling.factor": float32(0)}, 0, 1, ""},
		"yarn of 1":           {keys{"scaling.type": "yarn", "scaling.factor": float32(1)}, 0, 1, ""},
		"with factors":        {keys{"scaling.factor": float32(4)}, 2, 8, ""},
		"none with factors":   {keys{"scaling.type": "none", "scaling.factor": float32(4)}, 2, 2, ""},
		"unknown":             {keys{"scaling.type": "su", "scaling.factor": float32(1)}, 0, 0, `"su"`},
		"empty":               {keys{"scaling.type": "", "scaling.factor": float32(2)}, 0, 0, "rope.scaling.type"},
		"negative":            {keys{"scale_linear": float32(-2)}, 0, 0, "llama.rope.scale_linear is -2"},
		"not a number":        {keys{"scaling.factor": float32(math.NaN())}, 0, 0, "llama.rope.scaling.factor is NaN"},
		"attention":           {keys{"scaling.factor": float32(2), "scaling.attn_factor": float32(1.5)}, 0, 2, ""},
		"no attention":        {keys{"scaling.factor": float32(2), "scaling.attn_factor": float32(-1)}, 0, 0, "attn_factor is -1"},
	} {
		m, err := rewrite(t, func(out *gguf.Writer) {
			for key, v := range c.keys {
				out.Set("llama.rope."+key, v)
			}
			if c.factors > 0 {
				f := vector("rope_freqs.weight", 8)
				for i := range 8 {
					binary.LittleEndian.PutUint32(f.Data[4*i:], math.Float32bits(c.factors))
				}
				out.Add(f)
			}
		}, "")
		if c.want == 0 {
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%s: error %v, want one with %s", name, err, c.message)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := m.Config.RopeFactors
		if got == nil {
			got = slices.Repeat([]float32{1}, 8)
		}
		if !slices.Equal(got, slices.Repeat([]float32{c.want}, 8)) {
			t.Errorf("%s: divided by %v, want %v", name, got, c.want)
		}
		m.Close()
	}
}

// TestCountsOfLayers: counts may be lists of equal numbers, one a layer.
func TestCountsOfLayers(t *testing.T) {
	const heads, kv, ff = "llama.attention.head_count", "llama.attention.head_count_kv", "llama.feed_forward_length"
	m, err := rewrite(t, func(out *gguf.Writer) {
		out.Set(heads, []uint32{4, 4})
		out.Set(kv, []int32{2, 2})
		out.Set(ff, []uint64{96, 96})
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if c := m.Config; c.Heads != 4 || c.KVHeads != 2 || c.FF != 96 {
		t.Errorf("%+v", c)
	}
	for want, v := range map[string]any{
		"layers of different shapes": []int32{2, 4},
		"3 numbers for 2 layers":     []int32{2, 2, 2},
		"0 numbers for 2 layers":     []int32{},
		"is 0 in layer 1":            []int32{2, 0},
		"an integer":                 []float32{2, 2},
	} {
		m, err := rewrite(t, func(out *gguf.Writer) { out.Set(kv, v) }, "")
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), kv) {
			t.Errorf("%v: error %v, want one with %q", v, err, want)
		}
	}
}

// TestSpecialIDs: ids that the vocabulary lacks are left out with a warning, -1 without.
func TestSpecialIDs(t *testing.T) {
	m, err := rewrite(t, func(out *gguf.Writer) {
		out.Set("tokenizer.ggml.bos_token_id", uint32(300))
		out.Set("tokenizer.ggml.padding_token_id", int32(-1))
		out.Set("tokenizer.ggml.unknown_token_id", uint64(1)<<40)
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Tokenizer.BOS() != -1 || len(m.Warnings) != 2 || !strings.Contains(m.Warnings[0], "changed.gguf: tokenizer: the bos token id 300") {
		t.Errorf("BOS %d, warnings %q", m.Tokenizer.BOS(), m.Warnings)
	}
}
