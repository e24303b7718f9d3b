package hub

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// reference is a parsed model reference: a path, or a place on the hub that may
// have a known name.
type reference struct {
	path string // set for a file or directory of the user's; then nothing else is

	name  string // as the user wrote it
	known *knownModel
	terms string // of a known name, see there

	repo  string // owner/name
	rev   string // branch, tag or commit
	file  string // a .gguf file, in several parts one of them
	quant string // without a file, which of several, such as Q4_K_M; safetensors: the directory. Empty: the only one
}

const hfPrefix = "hf:"

var (
	repoPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	quantPattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	revPattern   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]*$`)
)

// parse reads a reference. What becomes part of a path or address is checked:
// nothing in it can leave the cache's directories.
func parse(ref string) (reference, error) {
	if k, ok := known[ref]; ok {
		r, err := parse(k.ref)
		r.name, r.terms = ref, k.terms
		if k.sha256 != "" {
			r.known = k
		}
		return r, err
	}
	rest, ok := strings.CutPrefix(ref, hfPrefix)
	if !ok {
		if ref == "" {
			return reference{}, fmt.Errorf("the model's name is empty; name a file, %s, or hf:owner/name", strings.Join(Names(), ", "))
		}
		return reference{path: ref}, nil
	}
	r := reference{name: ref}
	bad := func(what string) (reference, error) {
		return reference{}, fmt.Errorf("model %s: %s; write hf:owner/name[@rev][:file or quantisation]", ref, what)
	}
	rest, file, hasFile := strings.Cut(rest, ":")
	repo, rev, hasRev := strings.Cut(rest, "@")
	r.repo, r.rev = repo, rev
	if quantPattern.MatchString(file) {
		r.quant = strings.ToUpper(file)
	} else {
		r.file = file
	}
	if !hasRev {
		r.rev = "main"
	}
	switch {
	case !repoPattern.MatchString(repo) || strings.Contains(repo, ".."):
		return bad(fmt.Sprintf("%q is not owner/name", repo))
	case !revPattern.MatchString(r.rev) || !validPath(r.rev):
		return bad(fmt.Sprintf("%q is not a revision", rev))
	case hasFile && r.quant == "" && (!validPath(file) || !isGGUF(file)):
		return bad(fmt.Sprintf("%q is not a .gguf file in the repository, nor a quantisation such as Q4_K_M", file))
	}
	return r, nil
}

// validPath tells whether name is a slash-separated path that stays below where it
// starts, on every system.
func validPath(name string) bool {
	return fs.ValidPath(name) && name != "." && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsAny(name, "\\:\x00")
}
