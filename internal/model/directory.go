package model

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

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
	copied  int64 // bytes of tensors that are not the mapped file's
}

// maxConfig bounds config.json.
const maxConfig = 16 << 20

// openDirectory opens config.json and the weights; arrange gives the tensors their names.
func openDirectory(path string) (*directory, error) {
	d := &directory{path: path, tensors: map[string]tensor.Matrix{}}
	if err := d.readConfig(); err != nil {
		return nil, err
	}
	if err := d.addLongFactors(); err != nil {
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

// name returns what the configuration calls one of GGUF's keys of an architecture: the
// name that it has, or else the usual one; what is derived from others stands under derived.
func (d *directory) name(key string) string {
	if d.Has(derived + key) {
		return derived + key
	}
	all := names[key]
	for _, name := range all {
		if d.Has(name) {
			return name
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return derived + key
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
