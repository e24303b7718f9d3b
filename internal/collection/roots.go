package collection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/folder"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// root is a root of the index and where it is now.
type root struct {
	bm25.Root
	path    string // to open it; empty for standard input
	real    string // the same without links, as far as it is there
	reading reading
	reread  bool // files are read though they have not changed: they are read in another way
}

// reading is what the manifest keeps of how a root's files are found and read.
type reading struct {
	Fields   corpus.Fields `json:"fields,omitzero"`
	NoIgnore bool          `json:"no_ignore,omitempty"`
	Include  []string      `json:"include,omitempty"`
	Exclude  []string      `json:"exclude,omitempty"`
	// Also are paths below a folder that were asked for by name: they are read though
	// a rule leaves them out.
	Also []string `json:"also,omitempty"`
}

// options returns the reading as corpus takes it.
func (r reading) options(o corpus.Options) corpus.Options {
	o.Fields = r.Fields
	o.Folder = folder.Options{NoIgnore: r.NoIgnore, Include: r.Include, Exclude: r.Exclude}
	return o
}

// rules returns the part of o that is kept, with also.
func rules(o corpus.Options, also []string) reading {
	return reading{Fields: o.Fields, NoIgnore: o.Folder.NoIgnore, Include: o.Folder.Include, Exclude: o.Folder.Exclude, Also: also}
}

func (r reading) encode() json.RawMessage {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and bools
	}
	return data
}

func sameRoot(a, b bm25.Root) bool {
	return a.Name == b.Name && a.Path == b.Path && a.Absolute == b.Absolute && a.Folder == b.Folder && bytes.Equal(a.Reading, b.Reading)
}

// places knows where the roots of an index are.
type places struct {
	index   string // its directory, without links
	beside  string // the directory that it is in
	roots   []*root
	dropped []string // names of roots that others have swallowed
}

func newPlaces(dir string, roots []bm25.Root) (*places, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p := &places{index: withoutLinks(absolute), beside: filepath.Dir(absolute)}
	for _, r := range roots {
		now := &root{Root: r}
		if err := json.Unmarshal(r.Reading, &now.reading); err != nil && len(r.Reading) > 0 {
			return nil, fmt.Errorf("%s: how %s is read: %v: %w", dir, r.Name, err, bm25.ErrDamaged)
		}
		if now.path = locate(p.beside, r); now.path != "" {
			now.real = withoutLinks(now.path)
		}
		p.roots = append(p.roots, now)
	}
	return p, nil
}

// locate returns where a root is now. What lies as it did from the index has moved
// with it, or neither has; else the index was moved alone.
func locate(beside string, r bm25.Root) string {
	if r.Absolute == "" {
		return ""
	}
	if r.Path != "" {
		near := filepath.Join(beside, filepath.FromSlash(r.Path))
		if _, err := os.Stat(near); err == nil {
			return near
		}
	}
	return r.Absolute
}

// withoutLinks returns the path with its links followed, as far as it is there.
func withoutLinks(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(withoutLinks(parent), filepath.Base(path))
}

// all returns the roots as the manifest keeps them.
func (p *places) all() []bm25.Root {
	var roots []bm25.Root
	for _, r := range p.roots {
		if r.path != "" {
			r.Absolute = r.path
			r.Path = ""
			if near, err := filepath.Rel(p.beside, r.path); err == nil {
				r.Path = filepath.ToSlash(near)
			}
			r.Reading = r.reading.encode()
		}
		roots = append(roots, r.Root)
	}
	return roots
}

// find returns the root, or the part of one, that a path is. It makes a new root
// where none has it, which swallows those that lie in it.
func (p *places) find(path string) (scope, error) {
	if path == "-" {
		return scope{root: p.stdin()}, nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return scope{}, err
	}
	real := withoutLinks(absolute)
	info, statErr := os.Stat(absolute)
	for _, r := range p.roots {
		if r.path == "" {
			continue
		}
		sub, inside := below(r.real, real)
		if !inside || sub != "" && !r.Folder {
			continue
		}
		if sub != "" && statErr == nil && !slices.Contains(r.reading.Also, sub) {
			r.reading.Also = append(r.reading.Also, sub)
		}
		return scope{r, sub}, nil
	}
	if statErr != nil {
		return scope{}, fmt.Errorf("cannot read the corpus: %w", statErr)
	}
	made := &root{Root: bm25.Root{Absolute: absolute, Folder: info.IsDir()}, path: absolute, real: real, reread: true}
	p.roots = slices.DeleteFunc(p.roots, func(r *root) bool {
		sub, inside := below(real, r.real)
		if r.path == "" || !inside {
			return false
		}
		p.dropped = append(p.dropped, r.Name)
		made.reading.Also = append(made.reading.Also, sub)
		return true
	})
	parts := strings.FieldsFunc(filepath.ToSlash(absolute), func(r rune) bool { return r == '/' || r == ':' })
	for n := 1; n <= len(parts) && made.Name == ""; n++ {
		if name := strings.Join(parts[len(parts)-n:], "/"); p.free(name) {
			made.Name = name
		}
	}
	for n := 1; made.Name == ""; n++ {
		if name := join(strconv.Itoa(n), strings.Join(parts, "/")); p.free(name) {
			made.Name = name
		}
	}
	p.roots = append(p.roots, made)
	return scope{root: made}, nil
}

// remove forgets a root.
func (p *places) remove(r *root) {
	p.roots = slices.DeleteFunc(p.roots, func(other *root) bool { return other == r })
}

// stdin makes a root of its own for what standard input holds now: it cannot be
// told whether it is newer than what it held before.
func (p *places) stdin() *root {
	made := &root{Root: bm25.Root{Name: "stdin"}, reread: true}
	for n := 2; !p.free(made.Name); n++ {
		made.Name = "stdin-" + strconv.Itoa(n)
	}
	p.roots = append(p.roots, made)
	return made
}

// free reports whether a root may have that name: no source of it can then be
// called as one of another root.
func (p *places) free(name string) bool {
	clash := func(other string) bool {
		_, in := within(other, name)
		_, around := within(name, other)
		return in || around
	}
	for _, r := range p.roots {
		if clash(r.Name) {
			return false
		}
	}
	return true
}

// below returns the path of file from dir with slashes, and whether it lies in it;
// empty if it is dir.
func below(dir, file string) (sub string, inside bool) {
	rel, err := filepath.Rel(dir, file)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	if rel == "." {
		return "", true
	}
	return filepath.ToSlash(rel), true
}

// within is below for names.
func within(name, inner string) (sub string, inside bool) {
	if name == inner {
		return "", true
	}
	return strings.CutPrefix(inner, name+"/")
}

// join joins names.
func join(name, sub string) string {
	if sub == "" {
		return name
	}
	return name + "/" + sub
}
