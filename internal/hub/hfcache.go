package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// The cache of the Hugging Face tools:
//
//	models--owner--name/blobs/DIGEST          the content (DIGEST.incomplete while it is fetched)
//	models--owner--name/refs/REV              the commit that a branch or tag stands for
//	models--owner--name/snapshots/COMMIT/FILE a link to the blob
//	.locks/models--owner--name/DIGEST.lock    held while a blob is fetched

// hfHome returns the directory of the Hugging Face tools.
func hfHome() (string, error) {
	if dir := envPath("HF_HOME"); dir != "" {
		return dir, nil
	}
	if dir := envPath("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the Hugging Face cache: %w; set HF_HOME to a directory", err)
	}
	return filepath.Join(home, ".cache", "huggingface"), nil // on every system
}

// hfCache returns the directory of the hub's cache.
func hfCache() (string, error) {
	for _, key := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := envPath(key); dir != "" {
			return dir, nil
		}
	}
	home, err := hfHome()
	return filepath.Join(home, "hub"), err
}

// folder is the name of the repository's directory in the cache.
func (r reference) folder() string { return "models--" + strings.ReplaceAll(r.repo, "/", "--") }

var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// cached finds r in the hub's cache. The error is fs.ErrNotExist where it is absent.
func (r reference) cached() (Model, error) {
	cache, err := hfCache()
	if err != nil {
		return Model{}, err
	}
	dir := filepath.Join(cache, r.folder())
	commit := r.rev
	if !commitPattern.MatchString(commit) {
		b, err := os.ReadFile(filepath.Join(dir, "refs", filepath.FromSlash(r.rev)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Model{}, err
		}
		commit = strings.TrimSpace(string(b))
	}
	snapshots := []string{}
	if commitPattern.MatchString(commit) {
		snapshots = append(snapshots, filepath.Join(dir, "snapshots", commit))
	}
	if r.known != nil { // its digest is known, so any commit will do
		others, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*"))
		snapshots = append(snapshots, others...)
	}
	for _, snapshot := range snapshots {
		files, err := allFiles(snapshot)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return Model{}, err
		}
		if r.file != "" && !slices.Contains(files, r.file) || r.file == "" && len(ggufModels(files)) == 0 && !hasWeights(files) {
			continue
		}
		chosen, err := r.choose(files)
		if errors.Is(err, errPart) {
			continue // it is still being fetched, or was cut off
		} else if err != nil {
			return Model{}, err
		}
		if m, ok := chosen.in(snapshot, r.name); ok && (r.known == nil || m.Size == r.known.size) {
			return m, nil
		}
	}
	return Model{}, fs.ErrNotExist
}

// allCached lists every model of the hub's cache.
func allCached() ([]Model, error) {
	cache, err := hfCache()
	if err != nil {
		return nil, err
	}
	repos, _ := filepath.Glob(filepath.Join(cache, "models--*--*", "snapshots", "*"))
	var all []Model
	for _, snapshot := range repos {
		commit := filepath.Base(snapshot)
		dir := filepath.Dir(filepath.Dir(snapshot))
		repo := strings.Replace(strings.TrimPrefix(filepath.Base(dir), "models--"), "--", "/", 1)
		files, err := allFiles(snapshot)
		if err != nil {
			continue // another program may be clearing the cache
		}
		main, _ := os.ReadFile(filepath.Join(dir, "refs", "main"))
		base := hfPrefix + repo + "@" + commit
		if strings.TrimSpace(string(main)) == commit {
			base = hfPrefix + repo
		}
		all = append(all, inSnapshot(snapshot, repo, base, files)...)
	}
	return all, nil
}

// inSnapshot lists the models among the files of a snapshot, whose references begin with
// base.
func inSnapshot(snapshot, repo, base string, files []string) []Model {
	var all []Model
	models := ggufModels(files)
	for _, file := range models {
		chosen, err := allParts(base, file, files)
		if err != nil {
			continue // it is still being fetched
		}
		name := base + ":" + file
		m, ok := chosen.in(snapshot, name)
		if !ok {
			continue // a link whose blob is gone
		}
		for _, n := range Names() {
			if k, _ := parse(n); k.known != nil && k.repo == repo && k.file == file && k.known.size == m.Size {
				m.Name = n
			}
		}
		all = append(all, m)
	}
	if hasWeights(files) {
		r := reference{name: base, quant: safetensors}
		if len(models) > 0 {
			r.name += ":" + strings.ToLower(safetensors)
		}
		if chosen, err := r.chooseDirectory(files); err == nil {
			if m, ok := chosen.in(snapshot, r.name); ok {
				all = append(all, m)
			}
		}
	}
	return all
}

// link makes a finished blob appear as file in a snapshot.
func link(file, blob string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	target, err := filepath.Rel(filepath.Dir(file), blob)
	if err != nil {
		return err
	}
	os.Remove(file) // a link whose blob is gone
	if err := os.Symlink(target, file); err != nil && !errors.Is(err, fs.ErrExist) {
		// No links here (Windows without the privilege): the tools then keep
		// the content itself in the snapshot, and so do we.
		return atomicfile.Rename(blob, file)
	}
	return nil
}

// stands reports whether r's revision stands for a commit already.
func (r reference) stands(dir, commit string) bool {
	if r.rev == commit {
		return true
	}
	b, err := os.ReadFile(filepath.Join(dir, "refs", filepath.FromSlash(r.rev)))
	return err == nil && strings.TrimSpace(string(b)) == commit
}

// refer makes r's revision stand for a commit, all files of which are there.
func (r reference) refer(dir, commit string) error {
	if r.stands(dir, commit) {
		return nil
	}
	ref := filepath.Join(dir, "refs", filepath.FromSlash(r.rev))
	if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBytes(ref, []byte(commit))
}
