package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files of a Hugging Face directory that hold weights.
const (
	single = "model.safetensors"
	index  = "model.safetensors.index.json"
	pickle = "pytorch_model.bin"
)

// maxIndex bounds the index of a directory; that of a model with a million tensors
// takes less.
const maxIndex = 64 << 20

// Model holds the weights of a directory: one file, or all that its index names.
type Model struct {
	// Tensors by name. Their data alias the maps.
	Tensors map[string]Tensor

	files []*File
}

// OpenModel opens the weights in a directory as Hugging Face's libraries save them:
// model.safetensors, or the files of model.safetensors.index.json. Shards that are
// missing, tensors that are in none or in another than the index says, and those that
// it does not list are errors.
func OpenModel(dir string) (*Model, error) {
	if err := noPickle(dir); err != nil {
		return nil, err
	}
	m := &Model{Tensors: map[string]Tensor{}}
	err := m.open(dir)
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Model) open(dir string) error {
	weights, err := readIndex(filepath.Join(dir, index))
	if errors.Is(err, fs.ErrNotExist) {
		return m.add(filepath.Join(dir, single), nil, "")
	} else if err != nil {
		return err
	}
	for _, name := range slices.Compact(slices.Sorted(maps.Values(weights))) {
		if err := m.add(filepath.Join(dir, name), weights, name); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: the file %s that the index names is missing: download it too", dir, name)
			}
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if _, ok := m.Tensors[name]; !ok {
			return fmt.Errorf("%s: tensor %q is not in %s, where %s says that it is; %s", dir, name, weights[name], index, damaged)
		}
	}
	return nil
}

// add opens a file and adds its tensors, which an index, if there is one, lists for it.
func (m *Model) add(path string, listed map[string]string, name string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	m.files = append(m.files, f)
	for _, t := range f.Tensors {
		if at, ok := listed[t.Name]; listed != nil && (!ok || at != name) {
			return fmt.Errorf("%s: tensor %q is not listed for this file in %s: the file belongs to another model, or the index does", path, t.Name, index)
		}
		m.Tensors[t.Name] = t
	}
	return nil
}

// Close unmaps the files. The data of their tensors must not be used afterwards.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// noPickle refuses a directory whose only weights are Python's pickles, which can run
// code, and says how to convert them.
func noPickle(dir string) error {
	for _, name := range []string{single, index} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil
		}
	}
	for _, name := range []string{pickle, pickle + ".index.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s: %s is a Python pickle, which is not read since it can run code: convert it on a machine that trusts it, with "+
				"transformers' AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW), which writes %s", dir, strings.TrimSuffix(name, ".index.json"), single)
		}
	}
	return fmt.Errorf("%s: there is neither %s nor %s: name a directory as transformers' save_pretrained writes it, or a .gguf file", dir, single, index)
}

// readIndex returns in which file each tensor is.
func readIndex(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxIndex {
		return nil, fmt.Errorf("%s: %d bytes are too many for an index; %s", path, info.Size(), damaged)
	}
	var content struct {
		Weights map[string]string `json:"weight_map"`
	}
	if err := json.NewDecoder(f).Decode(&content); err != nil {
		return nil, fmt.Errorf("%s: %w; %s", path, err, damaged)
	}
	if len(content.Weights) == 0 {
		return nil, fmt.Errorf("%s: weight_map lists no tensors; %s", path, damaged)
	}
	for tensor, file := range content.Weights {
		if file != filepath.Base(file) || strings.ContainsAny(file, `/\:`) || !strings.HasSuffix(file, ".safetensors") {
			return nil, fmt.Errorf("%s: tensor %q is said to be in %q, which is no .safetensors file beside the index; %s", path, tensor, file, damaged)
		}
	}
	return content.Weights, nil
}
