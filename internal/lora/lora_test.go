package lora

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

var tiny = ShapeOf(&model.Weights{Config: model.Config{Family: "llama", Layers: 2, Hidden: 8, Heads: 2, KVHeads: 1, HeadDim: 4, FF: 12, Vocab: 20}})

// trained is an adapter with no zero in it, and marks.
func trained(c Config) *Adapter {
	a := New(c, tiny, 7)
	a.AddMarks(make([]float32, tiny.Hidden), 7)
	for i, tensor := range a.Tensors() {
		for j := range tensor {
			tensor[j] += float32(i+1) + float32(j)/64
		}
	}
	a.Info.Placement, a.Info.Echo, a.Info.Passages, a.Info.PassageLen = "append", 16, 1, 128
	a.Info.Recipe = map[string]any{"lr": "1e-4"}
	return a
}

var config = Config{Rank: 3, Alpha: 6, Targets: []model.Role{model.Q, model.V, model.Down}, Base: "tiny"}

func TestReadsWhatItWrites(t *testing.T) {
	for _, rslora := range []bool{false, true} {
		c := config
		c.RSLoRA = rslora
		a := trained(c)
		a.Layers[1][model.Q].Scale *= 2 // becomes a pattern
		dir := filepath.Join(t.TempDir(), "adapter")
		for range 2 { // the second replaces the first
			if err := Write(dir, a); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Read(dir, tiny)
		if err != nil {
			t.Fatal(err)
		}
		if a.Digest() != b.Digest() || !reflect.DeepEqual(a.Info, b.Info) || !reflect.DeepEqual(a.Config, b.Config) {
			t.Errorf("read %+v %+v, wrote %+v %+v", b.Config, b.Info, a.Config, a.Info)
		}
		if c, err := ReadFS(os.DirFS(dir), "files", tiny); err != nil || c.Digest() != a.Digest() || !reflect.DeepEqual(c.Info, a.Info) {
			t.Errorf("as files it reads otherwise: %v", err)
		}
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestWriteLeavesOtherDirectoriesAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, trained(config)); err == nil {
		t.Error("written over another directory")
	}
}

// TestWriteRefuses: parts that the written form here has no place for are not left out.
func TestWriteRefuses(t *testing.T) {
	a := trained(config)
	a.Head = a.Layers[0][model.Q]
	if err := Write(filepath.Join(t.TempDir(), "adapter"), a); err == nil || !strings.Contains(err.Error(), "not written") {
		t.Errorf("error %v", err)
	}
}

// TestTokenizerOfASmallVocabulary writes an adapter of a base with more embeddings than
// tokens: the marks must have their own ids in the tokenizer's files.
func TestTokenizerOfASmallVocabulary(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Adapter)
		want map[string]int32
	}{
		"marks":             {func(*Adapter) {}, map[string]int32{"[PAD18]": 18, "[PAD19]": 19, LeftMark: 20, RightMark: 21}},
		"marks of the base": {func(a *Adapter) { a.Rows, a.Info.Marks = nil, &Marks{3, 4} }, map[string]int32{}},
		"right before left": {func(a *Adapter) { a.Info.Marks = &Marks{21, 20} }, map[string]int32{"[PAD18]": 18, "[PAD19]": 19, RightMark: 20, LeftMark: 21}},
		"a row between": {func(a *Adapter) { a.Rows[1].Token, a.Info.Marks.Right = 22, 22 },
			map[string]int32{"[PAD18]": 18, "[PAD19]": 19, LeftMark: 20, "[PAD21]": 21, RightMark: 22}},
		"none": {func(a *Adapter) { a.Rows, a.Info.Marks = nil, nil }, map[string]int32{}},
	} {
		a := trained(config)
		c.edit(a)
		tokens := strings.Split("abcdefghijklmnopqr", "")
		tk, err := tokenizer.New(tokenizer.Config{Model: "gpt2", Tokens: tokens, Pre: "gpt-2", BOS: -1, EOS: -1, Unknown: -1, Padding: -1})
		if err != nil {
			t.Fatal(err)
		}
		a.Tokenizer = tk
		dir := filepath.Join(t.TempDir(), "adapter")
		if err := Write(dir, a); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Added []struct {
				ID      int32
				Content string
			} `json:"added_tokens"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		got := map[string]int32{}
		for _, token := range file.Added {
			got[token.Content] = token.ID
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: added are %v, want %v", name, got, c.want)
		}
	}
}

func TestDigestSeesEverything(t *testing.T) {
	want := trained(config).Digest()
	for name, change := range map[string]func(a *Adapter){
		"A":         func(a *Adapter) { a.Layers[1][model.V].A[5]++ },
		"B":         func(a *Adapter) { a.Layers[0][model.Q].B[0]++ },
		"scale":     func(a *Adapter) { a.Layers[0][model.Q].Scale++ },
		"row":       func(a *Adapter) { a.Rows[1].Embedding[2]++ },
		"token":     func(a *Adapter) { a.Rows[1].Token++ },
		"place":     func(a *Adapter) { a.Layers[0][model.K], a.Layers[0][model.V] = a.Layers[0][model.V], nil },
		"activated": func(a *Adapter) { a.Info.Activated = true },
		"head":      func(a *Adapter) { a.Head = a.Layers[0][model.Q] },
		"embedding": func(a *Adapter) { a.Embedding = a.Layers[0][model.Q] },
		"both":      func(a *Adapter) { a.TiedRows = true },
		"norm":      func(a *Adapter) { a.Saved = []Saved{{Spec: tiny.Norms[model.OutputNorm]}} },
		"its layer": func(a *Adapter) { a.Saved = []Saved{{Spec: tiny.Norms[model.AttnNorm].In(1)}} },
	} {
		a := trained(config)
		if change(a); a.Digest() == want {
			t.Errorf("%s: the same digest", name)
		}
	}
}

// files returns the files of a good adapter, the configuration as a map.
func files(t testing.TB) (map[string]any, []safetensors.Tensor, map[string][]byte) {
	t.Helper()
	a := trained(config)
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := Write(dir, a); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range []string{configFile, weightsFile, infoFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = data
	}
	var c map[string]any
	if err := json.Unmarshal(all[configFile], &c); err != nil {
		t.Fatal(err)
	}
	return c, a.tensors(), all
}

func TestHostile(t *testing.T) {
	type edit func(c map[string]any, w []safetensors.Tensor) []safetensors.Tensor
	set := func(key string, value any) edit {
		return func(c map[string]any, w []safetensors.Tensor) []safetensors.Tensor {
			c[key] = value
			return w
		}
	}
	rename := func(to string) edit {
		return func(_ map[string]any, w []safetensors.Tensor) []safetensors.Tensor {
			w[1].Name = to
			return w
		}
	}
	add := func(name string, shape ...int) edit {
		return func(_ map[string]any, w []safetensors.Tensor) []safetensors.Tensor {
			n := 1
			for _, d := range shape {
				n *= d
			}
			return append(w, safetensors.F32(name, make([]float32, n), shape...))
		}
	}
	for name, c := range map[string]struct {
		edit edit
		want string
	}{
		"dora":                    {set("use_dora", true), "use_dora"},
		"bias of factors":         {set("lora_bias", true), "lora_bias"},
		"a kind to come":          {set("use_tomorrow", map[string]any{"x": 1}), "use_tomorrow"},
		"pissa":                   {set("init_lora_weights", "pissa"), "pissa"},
		"other method":            {set("peft_type", "IA3"), "IA3"},
		"huge rank":               {set("r", 1<<31-1), "2147483647"},
		"rank of 2^40":            {set("rank_pattern", map[string]any{"q_proj": 1 << 40}), "rank_pattern"},
		"negative rank":           {set("r", -3), "-3"},
		"other rank":              {set("r", 4), "shape"},
		"bad pattern":             {set("rank_pattern", map[string]any{"(": 3}), "rank_pattern"},
		"too few tokens":          {set("trainable_token_indices", map[string]any{"embed_tokens": []int{20}}), "1 tokens"},
		"token far behind":        {set("trainable_token_indices", []int{20, 1 << 30}), "token 1073741824"},
		"token twice":             {set("trainable_token_indices", []int{20, 20}), "twice"},
		"a head of another width": {add("base_model.model.lm_head.weight", 20, 9), "[20, 8]"},
		"a head of fewer tokens":  {add("base_model.model.lm_head.base_layer.weight", 17, 8), "[20, 8]"},
		"an endless head":         {add("base_model.model.lm_head.lora_B.weight", 20+maxBehind+1, 3), "rank 3"},
		"half of the head's":      {add("base_model.model.lm_head.lora_A.weight", 3, 8), "lm_head has one of"},
		"a wide embedding":        {add("base_model.model.model.embed_tokens.lora_embedding_A", 3, 8), "rank 3"},
		"embeddings twice":        {add("base_model.model.model.embed_tokens.weight", 20, 8), "rows"},
		"a norm of another width": {add("base_model.model.model.norm.weight", 9), "[8]"},
		"a norm of no layer":      {add("base_model.model.model.layers.2.input_layernorm.weight", 8), "no such part"},
		"a projection, whole":     {add("base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight", 8, 8), "no such part"},
		"a bias":                  {add("base_model.model.model.layers.0.self_attn.q_proj.bias", 8), "no such part"},
		"twice":                   {add("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", 3, 8), "twice"},
		"no such layer":           {rename("base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight"), "2 layers"},
		"huge layer":              {rename("base_model.model.model.layers.99999999999999999999.self_attn.q_proj.lora_A.weight"), "no such part"},
		"no such module":          {rename("base_model.model.model.layers.0.self_attn.z_proj.lora_A.weight"), "z_proj"},
		"other tensor":            {rename("lm_head.weight"), "lm_head"},
		"half a factor": {func(_ map[string]any, w []safetensors.Tensor) []safetensors.Tensor {
			return slices.Delete(w, 1, 2)
		}, "one of lora_A and lora_B"},
		"no rows": {func(_ map[string]any, w []safetensors.Tensor) []safetensors.Tensor { return w[1:] }, "missing"},
		"wrong shape": {func(_ map[string]any, w []safetensors.Tensor) []safetensors.Tensor {
			w[1].Shape = []int{8, 3}
			return w
		}, "[8 3]"},
		"not a number": {func(_ map[string]any, w []safetensors.Tensor) []safetensors.Tensor {
			copy(w[1].Data, []byte{0, 0, 0xc0, 0x7f})
			return w
		}, "NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			config, tensors, all := files(t)
			tensors = c.edit(config, tensors)
			var b bytes.Buffer
			if err := safetensors.Encode(&b, tensors, nil); err != nil {
				t.Fatal(err)
			}
			all[weightsFile] = b.Bytes()
			all[configFile], _ = json.Marshal(config)
			_, err := Read(put(t, all), tiny)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	_, _, all := files(t)
	all[weightsFile] = all[weightsFile][:len(all[weightsFile])-1]
	if _, err := Read(put(t, all), tiny); err == nil {
		t.Error("a truncated file was read")
	}
	if _, err := Read(t.TempDir(), tiny); err == nil || !strings.Contains(err.Error(), "no adapter") {
		t.Errorf("an empty directory: %v", err)
	}
	other := tiny
	other.Vocab++
	_, _, all = files(t)
	if _, err := Read(put(t, all), other); err == nil || !strings.Contains(err.Error(), "vocabulary") {
		t.Errorf("another vocabulary: %v", err)
	}
}

// put writes files to a directory of their own.
func put(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// FuzzConfig feeds configurations to the reader beside good weights.
func FuzzConfig(f *testing.F) {
	_, _, all := files(f)
	f.Add(all[configFile], all[infoFile])
	f.Add([]byte(`{"peft_type":"LORA","r":3,"rank_pattern":{".*":3},"target_modules":"all-linear"}`), []byte(`{"marks":{"left":-1}}`))
	f.Add([]byte(`{"peft_type":"LORA","trainable_token_indices":[20,21]}`), []byte(`{}`))
	f.Add([]byte(`{"peft_type":"LORA","alpha_pattern":{"a":1,"q_proj":2},"rank_pattern":null,"modules_to_save":["norm"]}`), []byte(`{"activated":true}`))
	f.Fuzz(func(t *testing.T, config, info []byte) {
		tensors := trained(Config{Rank: 3, Alpha: 6, Targets: []model.Role{model.Q, model.V, model.Down}}).tensors()
		c, err := parseConfig(config)
		if err != nil {
			return
		}
		a := &Adapter{Shape: tiny, Config: Config{Rank: int(c.R), Alpha: c.Alpha, RSLoRA: c.RSLoRA}}
		if json.Unmarshal(info, &a.Info) == nil && a.take(tensors, c) == nil && a.checkInfo() == nil {
			a.Digest()
		}
	})
}

// TestPatternsInOrder: of patterns that match, the first of the file counts, as in PEFT.
func TestPatternsInOrder(t *testing.T) {
	for config, want := range map[string]float64{
		`"alpha_pattern": {"q_proj": 9, "layers.0.self_attn.q_proj": 64}`: 9,
		`"alpha_pattern": {"layers.0.self_attn.q_proj": 64, "q_proj": 9}`: 64,
		`"alpha_pattern": {"proj": 9, "^model.layers.0.*": 5, ".*": 7}`:   5,
		`"alpha_pattern": {"layers.1.*": 9}`:                              8,
		`"alpha_pattern": {}`:                                             8,
		`"alpha_pattern": null`:                                           8,
	} {
		c, err := parseConfig([]byte(`{"peft_type": "LORA", ` + config + `}`))
		if err != nil {
			t.Errorf("%s: %v", config, err)
			continue
		}
		if got, err := c.alphaOf("model.layers.0.self_attn.q_proj"); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", config, got, err, want)
		}
	}
}
