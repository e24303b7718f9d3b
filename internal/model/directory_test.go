package model_test

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// tolerance is the largest difference of a logit from transformers' in f32: the checkpoints
// have two layers, and logits up to 10.
const tolerance = 1e-4

// expected is what transformers makes of a checkpoint (tools/reference/directories.py).
type expected struct {
	IDs     []int32     `json:"ids"`
	Probes  [][]float32 `json:"probes"` // logits of every 29th token
	Text    string      `json:"text"`
	Encoded []int32     `json:"encoded"`
	Ends    []int32     `json:"ends"` // that generation_config.json names
}

func readExpected(t *testing.T, dir string) (want expected) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// compare opens the checkpoint at path and compares its logits and tokens.
func compare(t *testing.T, path string, want expected) {
	t.Helper()
	m, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	compareLogits(t, m, want.IDs, func(pos int, row []float32) (worst float64) {
		for i, w := range want.Probes[pos] {
			worst = max(worst, math.Abs(float64(row[29*i]-w)))
		}
		return worst
	})
	if ids := m.Tokenizer.WithLead(m.Tokenizer.Encode(want.Text)); !slices.Equal(ids, want.Encoded) {
		t.Errorf("tokens %v, want %v", ids, want.Encoded)
	}
	if ends := m.Tokenizer.Ends(); !slices.Equal(ends, want.Ends) {
		t.Errorf("ends %v, want %v", ends, want.Ends)
	}
}

// compareLogits runs a text; worst is the largest difference at a position.
func compareLogits(t *testing.T, m *model.Model, text []int32, difference func(pos int, row []float32) float64) {
	t.Helper()
	e, err := engine.New(&m.Weights, engine.Options{Compute: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(text[0]); err != nil {
		t.Fatal(err)
	}
	pos, worst := 0, 0.0
	err = s.Logits(context.Background(), placement.None, nil, append(slices.Clone(text[1:]), 0), func(row []float32) {
		worst = max(worst, difference(pos, row))
		pos++
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d positions, largest difference of a logit %.1e", pos, worst)
	if pos != len(text) || !(worst <= tolerance) {
		t.Errorf("logits differ by up to %g over %d positions, want %g over %d", worst, pos, tolerance, len(text))
	}
}

// TestDirectories compares checkpoints as transformers saves them with what it computes.
func TestDirectories(t *testing.T) {
	for _, name := range []string{"plain", "llama3"} {
		t.Run(name, func(t *testing.T) { compare(t, filepath.Join("testdata", name), readExpected(t, name)) })
	}
}

// TestDirectoriesOfFamilies compares a checkpoint of every family.
func TestDirectoriesOfFamilies(t *testing.T) {
	tokenizer, err := os.ReadFile("testdata/plain/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range modeltest.Families(t) {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, "families/"+name)
			if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), tokenizer, 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := model.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			ref := modeltest.ReferenceOf(t, name)
			compareLogits(t, m, ref.IDs, func(pos int, row []float32) (worst float64) {
				for i, p := range ref.Probes {
					worst = max(worst, math.Abs(float64(row[p]-ref.Logits[pos*len(ref.Probes)+i])))
				}
				return worst
			})
		})
	}
}

// copied returns a copy of a checkpoint that a test may change.
func copied(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// editJSON changes a file of a directory; a value of nil takes a key out.
func editJSON(t testing.TB, dir, file string, values map[string]any) {
	t.Helper()
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	for key, v := range values {
		if object[key] = v; v == nil {
			delete(object, key)
		}
	}
	if data, err = json.Marshal(object); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// editTensors writes the weights of a directory again, as one file.
func editTensors(t testing.TB, dir string, edit func(map[string]safetensors.Tensor)) {
	t.Helper()
	m, err := safetensors.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	edit(m.Tensors)
	var all []safetensors.Tensor
	for name, tensor := range m.Tensors {
		tensor.Name = name
		all = append(all, tensor)
	}
	out, err := os.Create(filepath.Join(dir, "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Encode(out, all, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out.Name(), filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "model.safetensors.index.json"))
}

// TestDirectoryForms: what older libraries write, and checkpoints without a head, are the
// same models.
func TestDirectoryForms(t *testing.T) {
	for name, form := range map[string]func(t *testing.T, dir string){
		"rope in two keys": func(t *testing.T, dir string) {
			editJSON(t, dir, "config.json", map[string]any{"rope_parameters": nil, "rope_theta": 500, "rope_scaling": map[string]any{
				"rope_type": "llama3", "type": "llama3", "factor": 4, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}})
		},
		"without the first name": func(t *testing.T, dir string) {
			editTensors(t, dir, func(all map[string]safetensors.Tensor) {
				for name, tensor := range all {
					delete(all, name)
					all[strings.TrimPrefix(name, "model.")] = tensor
				}
			})
		},
		"a head beside the embedding": func(t *testing.T, dir string) {
			editTensors(t, dir, func(all map[string]safetensors.Tensor) { all["lm_head.weight"] = all["model.embed_tokens.weight"] })
		},
		"not said to be tied": func(t *testing.T, dir string) {
			editJSON(t, dir, "config.json", map[string]any{"tie_word_embeddings": nil})
		},
		"a model that sees": func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			whole := `{"model_type": "sees", "hidden_size": 7, "text_config": ` + string(data) + `}`
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(whole), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, "llama3")
			form(t, dir)
			compare(t, dir, readExpected(t, "llama3"))
		})
	}
}

// TestScalingOfDirectories: a factor scales where a type says so, and alone it does not, as
// in transformers (tried with 5.24, whose greedy tokens these forms gave).
func TestScalingOfDirectories(t *testing.T) {
	type object = map[string]any
	for name, c := range map[string]struct {
		config object
		want   float32 // factors; 0: none
	}{
		"old, a type":    {object{"rope_scaling": object{"type": "linear", "factor": 4}}, 4},
		"old, alone":     {object{"rope_scaling": object{"factor": 4}}, 0},
		"old, default":   {object{"rope_scaling": object{"rope_type": "default", "factor": 4}}, 0},
		"old, two types": {object{"rope_scaling": object{"rope_type": "linear", "type": "default", "factor": 4}}, 4},
		"factor 1":       {object{"rope_scaling": object{"type": "linear", "factor": 1}}, 0},
		"new, a type":    {object{"rope_theta": nil, "rope_parameters": object{"rope_type": "linear", "factor": 4, "rope_theta": 500}}, 4},
		"new, alone":     {object{"rope_theta": nil, "rope_parameters": object{"factor": 4, "rope_theta": 500}}, 0},
	} {
		dir := copied(t, "llama3")
		config := object{"rope_parameters": nil, "rope_theta": 500, "rope_scaling": nil}
		maps.Copy(config, c.config)
		editJSON(t, dir, "config.json", config)
		m, err := model.Load(dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var want []float32
		if c.want > 0 {
			want = slices.Repeat([]float32{c.want}, m.Config.Turned()/2)
		}
		if got := m.Config.RopeFactors; !slices.Equal(got, want) {
			t.Errorf("%s: divided by %v, want %v", name, got, want)
		}
		m.Close()
	}
}

// TestDirectoryRefuses: each fault has one error, with the directory, what and why.
func TestDirectoryRefuses(t *testing.T) {
	config := func(values map[string]any) func(testing.TB, string) {
		return func(t testing.TB, dir string) { editJSON(t, dir, "config.json", values) }
	}
	tensors := func(edit func(map[string]safetensors.Tensor)) func(testing.TB, string) {
		return func(t testing.TB, dir string) { editTensors(t, dir, edit) }
	}
	remove := func(name string) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	index := func(weights map[string]any) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			editJSON(t, dir, "model.safetensors.index.json", map[string]any{"weight_map": weights})
		}
	}
	const shard, key = "model-00002-of-00003.safetensors", "model.layers.1.self_attn.k_proj.weight"
	for name, c := range map[string]struct {
		spoil func(t testing.TB, dir string)
		want  string
	}{
		"no config":          {remove("config.json"), "config.json"},
		"no tokenizer":       {remove("tokenizer.json"), "there is no tokenizer.json"},
		"a shard is missing": {remove(shard), "the file " + shard + " that the index names is missing"},
		"a foreign shard": {func(t testing.TB, dir string) {
			data, err := os.ReadFile("testdata/plain/model.safetensors")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, shard), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is not listed for this file"},
		"a shard cut short": {func(t testing.TB, dir string) {
			if err := os.Truncate(filepath.Join(dir, shard), 15000); err != nil {
				t.Fatal(err)
			}
		}, shard},
		"an index that leads out": {index(map[string]any{"t": "../model.safetensors"}), "no .safetensors file beside the index"},
		"an empty index":          {index(map[string]any{}), "lists no tensors"},
		"an index of one tensor":  {index(map[string]any{key: shard}), "is not listed for this file"},
		"a tensor that no shard has": {func(t testing.TB, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "model.safetensors.index.json"))
			if err != nil {
				t.Fatal(err)
			}
			data = []byte(strings.Replace(string(data), `"weight_map": {`, `"weight_map": {"other": "`+shard+`",`, 1))
			if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, `"other" is not in ` + shard},
		"only a pickle": {func(t testing.TB, dir string) {
			remove("model.safetensors.index.json")(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "save_pretrained"},
		"no weights":          {remove("model.safetensors.index.json"), "neither model.safetensors"},
		"not JSON":            {func(t testing.TB, dir string) { os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600) }, "config.json: unexpected"},
		"another kind":        {config(map[string]any{"model_type": "mamba"}), `"mamba" is not supported`},
		"no kind":             {config(map[string]any{"model_type": nil}), "no model_type"},
		"quantised":           {config(map[string]any{"quantization_config": map[string]any{"quant_method": "gptq"}}), "quantised by gptq"},
		"no width":            {config(map[string]any{"hidden_size": nil}), "config.json has no hidden_size"},
		"a width of text":     {config(map[string]any{"hidden_size": "wide"}), "hidden_size is wide, not an integer"},
		"a negative width":    {config(map[string]any{"hidden_size": -32}), "hidden_size is -32, not an integer"},
		"another width":       {config(map[string]any{"hidden_size": 64}), "config.json asks for [265 64]"},
		"more layers":         {config(map[string]any{"num_hidden_layers": 3}), `no tensor "model.layers.2.input_layernorm.weight"`},
		"fewer layers":        {config(map[string]any{"num_hidden_layers": 1}), `"model.layers.1.`},
		"too many layers":     {config(map[string]any{"num_hidden_layers": 1 << 40}), "num_hidden_layers"},
		"other heads":         {config(map[string]any{"num_key_value_heads": 4}), "k_proj"},
		"another size":        {config(map[string]any{"vocab_size": 300}), "vocab_size 300"},
		"biases":              {config(map[string]any{"attention_bias": true}), "attention_bias true"},
		"another function":    {config(map[string]any{"hidden_act": "relu"}), `hidden_act "relu"`},
		"a head of its own":   {config(map[string]any{"tie_word_embeddings": false}), "tie_word_embeddings false"},
		"another scaling":     {config(map[string]any{"rope_parameters": map[string]any{"rope_type": "wild", "rope_theta": 500}}), `"wild"`},
		"half a scaling":      {config(map[string]any{"rope_parameters": map[string]any{"rope_type": "llama3", "rope_theta": 500, "low_freq_factor": 1}}), "rope_parameters.factor"},
		"a tensor is missing": {tensors(func(all map[string]safetensors.Tensor) { delete(all, key) }), key},
		"a tensor too many": {tensors(func(all map[string]safetensors.Tensor) {
			all["model.layers.1.self_attn.k_proj.bias"] = safetensors.F32("", make([]float32, 16), 16)
		}), `"model.layers.1.self_attn.k_proj.bias" [1, 16] is not supported`},
		"another shape": {tensors(func(all map[string]safetensors.Tensor) {
			k := all[key]
			k.Shape = []int{32, 16}
			all[key] = k
		}), "[32 16], and config.json asks for [16 32]"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, "llama3")
			c.spoil(t, dir)
			m, err := model.Load(dir)
			if err == nil {
				m.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want one with %q and the directory", err, c.want)
			}
		})
	}
}

// FuzzDirectory: no configuration and no index makes loading panic.
func FuzzDirectory(f *testing.F) {
	for _, name := range []string{"plain", "llama3"} {
		config, err := os.ReadFile(filepath.Join("testdata", name, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		index, _ := os.ReadFile(filepath.Join("testdata", name, "model.safetensors.index.json"))
		f.Add(config, index)
	}
	dir := copied(f, "llama3")
	f.Fuzz(func(t *testing.T, config, index []byte) {
		for name, data := range map[string][]byte{"config.json": config, "model.safetensors.index.json": index} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := model.Load(dir); err == nil {
			m.Close()
		}
	})
}
