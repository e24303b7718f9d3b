package model

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// directory is a model as Hugging Face's libraries save it: config.json, weights as
// safetensors, and the tokenizer's files. Its keys are those of config.json, nested ones
// behind a dot; its tensors have GGUF's names.
type directory struct {
	path    string
	values  map[string]any
	weights *safetensors.Model
	tensors map[string]tensor.Matrix
}

// maxConfig bounds config.json.
const maxConfig = 16 << 20

// openDirectory opens config.json and the weights; arrange gives the tensors their names.
func openDirectory(path string) (*directory, error) {
	d := &directory{path: path, tensors: map[string]tensor.Matrix{}}
	if err := d.readConfig(); err != nil {
		return nil, err
	}
	var err error
	d.weights, err = safetensors.OpenModel(path)
	return d, err
}

func (d *directory) close() error { return d.weights.Close() }

// isDirectory reports whether there is a directory at path.
func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (d *directory) readConfig() error {
	path := filepath.Join(d.path, "config.json")
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: a directory with a model has one; name it, or a .gguf file", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return err
	}
	if len(data) > maxConfig {
		return fmt.Errorf("%s: more than %d bytes are no configuration of a model", path, maxConfig)
	}
	if d.values, err = parseConfig(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d.values["general.name"] = filepath.Base(filepath.Clean(d.path))
	return nil
}

// parseConfig returns the values of config.json, those of objects in it under names with
// dots: what a part of it says of text moves to the top.
func parseConfig(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var config map[string]any
	if err := dec.Decode(&config); err != nil {
		return nil, err
	}
	if text, ok := config["text_config"].(map[string]any); ok { // of a model that sees, too
		maps.Copy(config, text)
	}
	if q, ok := config["quantization_config"].(map[string]any); ok {
		return nil, fmt.Errorf("its weights are quantised by %v, which is not supported: use the directory with bf16 or f16 weights, or a GGUF file", q["quant_method"])
	}
	values := map[string]any{}
	flatten(values, "", config)
	kind, ok := values["model_type"].(string)
	if !ok {
		return nil, fmt.Errorf("it has no model_type: it is not the configuration of a model")
	}
	for _, at := range ropeObjects {
		// Llama 3's scaling is a vector of factors, see addFactors.
		for _, key := range []string{at + "rope_type", at + "type"} {
			if values[key] == "llama3" || values[key] == "default" {
				values[key] = "none"
			}
		}
	}
	values["general.architecture"] = kind
	if name, ok := architectures[kind]; ok {
		values["general.architecture"] = name
	}
	return values, nil
}

// flatten puts the values of nested objects under names with dots. Nulls are absent.
func flatten(into map[string]any, prefix string, object map[string]any) {
	for key, v := range object {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			flatten(into, prefix+key+".", v)
		default:
			into[prefix+key] = v
		}
	}
}

// ropeObjects are where configurations say how rotary frequencies are scaled, of older and
// of newer transformers.
var ropeObjects = []string{"rope_scaling.", "rope_parameters."}

// architectures are GGUF's names of Hugging Face's model_type where they differ.
var architectures = map[string]string{
	"gemma3_text": "gemma3",
	"mistral":     "llama",
}

// names are what config.json calls GGUF's keys, the name of most families first.
var names = map[string][]string{
	"block_count":                      {"num_hidden_layers", "n_layer"},
	"embedding_length":                 {"hidden_size", "n_embd"},
	"attention.head_count":             {"num_attention_heads", "n_head"},
	"attention.head_count_kv":          {"num_key_value_heads"},
	"feed_forward_length":              {"intermediate_size", "n_inner", "ffn_dim"},
	"context_length":                   {"max_position_embeddings", "n_positions"},
	"attention.layer_norm_rms_epsilon": {"rms_norm_eps"},
	"attention.layer_norm_epsilon":     {"layer_norm_epsilon", "layer_norm_eps"},
	"attention.key_length":             {"head_dim"},
	"attention.value_length":           {"head_dim"},
	"attention.sliding_window":         {"sliding_window"},
	"rope.freq_base":                   {"rope_theta", "rope_parameters.rope_theta"},
	"rope.scaling.type":                {"rope_scaling.rope_type", "rope_scaling.type", "rope_parameters.rope_type"},
	"rope.scaling.factor":              {"rope_scaling.factor", "rope_parameters.factor"},
	"rope.scaling.attn_factor":         {"rope_scaling.attention_factor", "rope_parameters.attention_factor"},
	"rope.scaling.original_context_length": {
		"rope_scaling.original_max_position_embeddings", "rope_parameters.original_max_position_embeddings", "original_max_position_embeddings"},
	"attn_logit_softcapping":  {"attn_logit_softcapping"},
	"final_logit_softcapping": {"final_logit_softcapping"},
}

// name returns what the configuration calls one of GGUF's keys of an architecture: the
// name that it has, or else the usual one. A key without one is never there.
func (d *directory) name(key string) string {
	all := names[key]
	for _, name := range all {
		if d.Has(name) {
			return name
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return "gguf." + key
}

// arrange gives the tensors of the family's list GGUF's names and order of rows. Those
// that the list lacks keep theirs.
func (d *directory) arrange(c Config) error {
	if err := d.agree(c); err != nil {
		return err
	}
	switch c.Family {
	case "gemma2", "gemma3", "phi3", "smollm3":
		return fmt.Errorf("%s: directories of %s models cannot be read yet: convert it to GGUF with llama.cpp's convert_hf_to_gguf.py", d.path, c.Family)
	}
	tied, said := d.values["tie_word_embeddings"].(bool)
	used := map[string]bool{}
	for s := range (&Weights{Config: c, Layers: make([]Tensors, c.Layers)}).All() {
		name := d.stored(s.HuggingFace)
		t, ok := d.weights.Tensors[name]
		used[name] = true
		switch {
		case s.Role == Head && tied: // some files have it nevertheless
			continue
		case s.Role == Head && said && !ok:
			return fmt.Errorf("%s: config.json says tie_word_embeddings false, and there is no %s", d.path, s.HuggingFace)
		case !ok && s.Optional:
			continue
		case !ok:
			return fmt.Errorf("%s: there is no tensor %q, which config.json asks for: the download is not whole, or config.json is another model's", d.path, s.HuggingFace)
		}
		m, err := d.matrix(s, t)
		if err != nil {
			return err
		}
		if n, err := d.Uint("vocab_size"); s.Role == Embedding && err == nil && n != uint64(m.Rows) {
			return fmt.Errorf("%s: tensor %q has %d rows, and config.json says vocab_size %d", d.path, name, m.Rows, n)
		}
		d.tensors[s.GGUF] = m
	}
	for _, name := range slices.Sorted(maps.Keys(d.weights.Tensors)) {
		if t := d.weights.Tensors[name]; !used[name] {
			d.tensors[name] = tensor.Matrix{Name: name, Type: t.Type, Rows: rowsOf(t), Cols: t.Len() / max(1, rowsOf(t)), Data: t.Data}
		}
	}
	return d.addFactors(c)
}

// stored returns the name under which a tensor is stored: checkpoints of a model without
// a head lack the first part of it, model. or transformer.
func (d *directory) stored(name string) string {
	if _, ok := d.weights.Tensors[name]; !ok {
		if _, rest, _ := strings.Cut(name, "."); rest != "" {
			if _, ok := d.weights.Tensors[rest]; ok {
				return rest
			}
		}
	}
	return name
}

func rowsOf(t safetensors.Tensor) int {
	if len(t.Shape) < 2 {
		return 1
	}
	return t.Shape[0]
}

// matrix returns a tensor of the list in the model's order of rows: the mapped file's
// bytes, or a copy where the order differs.
func (d *directory) matrix(s Spec, t safetensors.Tensor) (tensor.Matrix, error) {
	m := tensor.Matrix{Name: s.GGUF, Type: t.Type, Rows: rowsOf(t), Cols: s.Cols, Data: t.Data}
	rows := s.Rows
	if rows == 0 { // as many as the vocabulary has tokens
		rows = m.Rows
	}
	if len(t.Shape) == 0 || len(t.Shape) > 2 || rows == 0 || t.Len() != rows*s.Cols || m.Rows != rows || rows == 1 != (len(t.Shape) == 1) {
		return m, fmt.Errorf("%s: tensor %q has the shape %v, and config.json asks for [%d, %d]", d.path, t.Name, t.Shape, s.Rows, s.Cols)
	}
	if s.Paired > 0 {
		m.Data = make([]byte, len(t.Data))
		n := m.RowBytes()
		for ours, theirs := range s.order(m.Rows) {
			copy(m.Data[ours*n:(ours+1)*n], t.Data[theirs*n:])
		}
	}
	return m, nil
}

// agree compares what config.json says in words with what the family computes.
func (d *directory) agree(c Config) error {
	for key, computed := range c.HuggingFace() {
		said, ok := d.values[key]
		switch computed.(type) {
		case string, bool:
		default: // numbers were read from it
			continue
		}
		if key != "model_type" && ok && said != computed {
			return fmt.Errorf("%s: config.json says %s %v, and FlashBack's %s family computes with %v", d.path, key, said, c.Family, computed)
		}
	}
	return nil
}

// addFactors adds the vector of factors that Llama 3's rotary scaling gives by formula
// (transformers' modeling_rope_utils.py, rope_type llama3), under GGUF's name.
func (d *directory) addFactors(c Config) error {
	scaling := ""
	for _, at := range ropeObjects {
		if d.Has(at + "low_freq_factor") {
			scaling = at
		}
	}
	if scaling == "" {
		return nil
	}
	var n [4]float64
	for i, key := range []string{"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"} {
		var err error
		if n[i], err = d.Float(scaling + key); err != nil {
			return err
		}
		if !(n[i] > 0) || math.IsInf(n[i], 0) {
			return fmt.Errorf("%s: config.json: %s is %v: it must be positive", d.path, scaling+key, n[i])
		}
	}
	factor, low, high, context := n[0], n[1], n[2], n[3]
	if high <= low {
		return fmt.Errorf("%s: config.json: %shigh_freq_factor %v is not above low_freq_factor %v", d.path, scaling, high, low)
	}
	m := tensor.Matrix{Name: factorsName, Type: tensor.F32, Rows: 1, Cols: c.HeadDim / 2}
	for i := range m.Cols {
		wave := 2 * math.Pi * math.Pow(c.RopeBase, float64(2*i)/float64(c.HeadDim))
		// Short waves stay, long ones are stretched, those between change over.
		smooth := min(1, max(0, (context/wave-low)/(high-low)))
		m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(float32(1/((1-smooth)/factor+smooth))))
	}
	d.tensors[factorsName] = m
	return nil
}

// Path returns the directory.
func (d *directory) Path() string { return d.path }

// Has reports whether the configuration has a key.
func (d *directory) Has(key string) bool {
	_, ok := d.values[key]
	return ok
}

// Tensors returns all tensors, by name.
func (d *directory) Tensors() []tensor.Matrix {
	var all []tensor.Matrix
	for _, name := range slices.Sorted(maps.Keys(d.tensors)) {
		all = append(all, d.tensors[name])
	}
	return all
}

// Tensor returns the tensor of that name.
func (d *directory) Tensor(name string) (tensor.Matrix, error) {
	m, ok := d.tensors[name]
	if !ok {
		return m, fmt.Errorf("%s: there is no tensor %q", d.path, name)
	}
	return m, nil
}

// String returns a string.
func (d *directory) String(key string) (string, error) {
	return valueOf(d, key, "a string", func(v any) (s string, ok bool) { s, ok = v.(string); return })
}

// Strings returns a list of strings.
func (d *directory) Strings(key string) ([]string, error) {
	return listOf(d, key, "a list of strings", func(v any) (s string, ok bool) { s, ok = v.(string); return })
}

// Bool returns a truth value.
func (d *directory) Bool(key string) (bool, error) {
	return valueOf(d, key, "true or false", func(v any) (b, ok bool) { b, ok = v.(bool); return })
}

// Uint returns an integer that is not negative.
func (d *directory) Uint(key string) (uint64, error) {
	return valueOf(d, key, "an integer ≥ 0", func(v any) (uint64, bool) { n, ok := integer(v); return uint64(n), ok && n >= 0 })
}

// Ints returns a list of integers.
func (d *directory) Ints(key string) ([]int64, error) {
	return listOf(d, key, "a list of integers", integer)
}

// Bools returns a list of truth values.
func (d *directory) Bools(key string) ([]bool, error) {
	return listOf(d, key, "a list of true and false", func(v any) (b, ok bool) { b, ok = v.(bool); return })
}

// Float returns a number.
func (d *directory) Float(key string) (float64, error) {
	return valueOf(d, key, "a number", number)
}

// Floats returns a list of numbers.
func (d *directory) Floats(key string) ([]float64, error) {
	return listOf(d, key, "a list of numbers", number)
}

func number(v any) (float64, bool) {
	n, ok := v.(json.Number)
	f, err := n.Float64()
	return f, ok && err == nil
}

func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	i, err := n.Int64()
	return i, ok && err == nil
}

func valueOf[T any](d *directory, key, kind string, convert func(any) (T, bool)) (T, error) {
	v, ok := d.values[key]
	if !ok {
		var none T
		return none, fmt.Errorf("%s: config.json has no %s: it is not whole, or another kind of model's", d.path, key)
	}
	out, ok := convert(v)
	if !ok {
		return out, fmt.Errorf("%s: config.json: %s is %v, not %s", d.path, key, v, kind)
	}
	return out, nil
}

func listOf[T any](d *directory, key, kind string, convert func(any) (T, bool)) ([]T, error) {
	return valueOf(d, key, kind, func(v any) ([]T, bool) {
		list, ok := v.([]any)
		out := make([]T, len(list))
		for i, e := range list {
			one, fits := convert(e)
			if !fits {
				return nil, false
			}
			out[i] = one
		}
		return out, ok
	})
}

// loadTokenizer reads the tokenizer of a directory.
func loadTokenizer(path string) (*tokenizer.Tokenizer, error) {
	t, err := tokenizer.FromHuggingFace(os.DirFS(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
