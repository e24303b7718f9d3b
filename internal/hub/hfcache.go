package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
		file := r.file
		if file == "" {
			files, err := ggufFiles(snapshot)
			if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
				continue
			} else if err != nil {
				return Model{}, err
			}
			if file, err = single(r.name, files); err != nil {
				return Model{}, err
			}
		}
		path := filepath.Join(snapshot, filepath.FromSlash(file))
		if info, err := os.Stat(path); err == nil && (r.known == nil || info.Size() == r.known.size) {
			return Model{r.name, info.Size(), path, SourceHub}, nil
		}
	}
	return Model{}, fs.ErrNotExist
}

// allCached lists every .gguf file of the hub's cache.
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
		files, err := ggufFiles(snapshot)
		if err != nil {
			continue // another program may be clearing the cache
		}
		for _, file := range files {
			path := filepath.Join(snapshot, filepath.FromSlash(file))
			info, err := os.Stat(path)
			if err != nil {
				continue // a link whose blob is gone
			}
			name := hfPrefix + repo + "@" + commit + ":" + file
			if main, _ := os.ReadFile(filepath.Join(dir, "refs", "main")); strings.TrimSpace(string(main)) == commit {
				name = hfPrefix + repo + ":" + file
			}
			for _, n := range names() {
				if k, _ := parse(n); k.repo == repo && k.file == file && k.known.size == info.Size() {
					name = n
				}
			}
			all = append(all, Model{name, info.Size(), path, SourceHub})
		}
	}
	return all, nil
}

// stands reports whether r's revision stands for a commit already.
func (r reference) stands(dir, commit string) bool {
	if r.rev == commit {
		return true
	}
	b, err := os.ReadFile(filepath.Join(dir, "refs", filepath.FromSlash(r.rev)))
	return err == nil && strings.TrimSpace(string(b)) == commit
}

// link makes a finished blob appear as file, in the snapshot of a commit, and r's
// revision stand for that commit.
func (r reference) link(dir, commit, file, blob string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		target, err := filepath.Rel(filepath.Dir(file), blob)
		if err != nil {
			return err
		}
		os.Remove(file) // a link whose blob is gone
		if err := os.Symlink(target, file); err != nil && !errors.Is(err, fs.ErrExist) {
			// No links here (Windows without the privilege): the tools then keep
			// the content itself in the snapshot, and so do we.
			if err := atomicfile.Rename(blob, file); err != nil {
				return err
			}
		}
	}
	if r.stands(dir, commit) {
		return nil
	}
	ref := filepath.Join(dir, "refs", filepath.FromSlash(r.rev))
	if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBytes(ref, []byte(commit))
}
