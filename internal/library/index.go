package library

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// index is one of the library's indexes.
type index struct {
	name    string
	dir     string // absolute
	uploads string // the folder of what was uploaded for it

	writing sync.Mutex // held by whoever changes the index or its folder
	removed bool       // guarded by writing

	mu        sync.Mutex
	made      *made                // nil for one that was given
	documents map[string]*Document // by the ids of their files
	names     map[string]*Document // by what their names fold to
	progress  float64              // of the change under way, from 0 to 1
	interrupt context.CancelFunc   // ends it; nil: none is under way
}

func newIndex(name, dir string) *index {
	return &index{name: name, dir: dir, uploads: strings.TrimSuffix(dir, ".index") + ".uploads", documents: map[string]*Document{}, names: map[string]*Document{}}
}

// recordDir is where an index's folder of uploads keeps what is known of them: it is
// hidden, so nobody reads it as documents.
const recordDir = ".flashback"

// madeName is the file there that says that the library made the index.
const madeName = "index.json"

// made is what is known of an index that the library made.
type made struct {
	Label   string    `json:"label,omitempty"`
	Owner   string    `json:"owner,omitempty"`
	Created time.Time `json:"created"`
}

// record returns the path of one of the small files about the index.
func (x *index) record(name string) string { return filepath.Join(x.uploads, recordDir, name) }

// maxIndexes bounds how many indexes a library makes.
const maxIndexes = 10_000

// Prefixes and endings of what the library makes.
const (
	indexPrefix = "vs_"
	indexEnd    = ".index"
	uploadsEnd  = ".uploads"
)

// openStores finds the indexes that the library made, and removes what a process that
// was killed left of others.
func (l *Library) openStores() error {
	dir, err := filepath.Abs(filepath.Join(l.o.Dir, "stores"))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), uploadsEnd)
		if !ok || !strings.HasPrefix(name, indexPrefix) || CheckName(name) != nil {
			continue
		}
		x := newIndex(name, filepath.Join(dir, name+indexEnd))
		var m made
		if err := readJSON(x.record(madeName), &m); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		x.made = &m
		l.indexes[name] = x
	}
	for _, e := range entries {
		name := strings.TrimSuffix(strings.TrimSuffix(e.Name(), uploadsEnd), indexEnd)
		if x := l.indexes[name]; (x == nil || x.made == nil) && strings.HasPrefix(name, indexPrefix) {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

// Create makes an index without documents. label is what people call it, owner who may
// see it, in the caller's words.
func (l *Library) Create(ctx context.Context, label, owner string) (Info, error) {
	if l.o.Dir == "" {
		return Info{}, ErrNoDir
	}
	l.mu.Lock()
	full := len(l.indexes) >= maxIndexes
	l.mu.Unlock()
	if full {
		return Info{}, fmt.Errorf("%w indexes (%d); remove some", ErrFull, maxIndexes)
	}
	dir, err := filepath.Abs(filepath.Join(l.o.Dir, "stores"))
	if err != nil {
		return Info{}, err
	}
	name := newID(indexPrefix)
	x := newIndex(name, filepath.Join(dir, name+indexEnd))
	x.made = &made{Label: label, Owner: owner, Created: time.Now().UTC().Truncate(time.Second)}
	err = bm25.Empty(ctx, x.dir, bm25.BuildOptions{Analyzer: analysis.Folding, IndexTitle: true, BreadcrumbWeight: bm25.DefaultBreadcrumbWeight,
		Chunking: defaultChunking.String(), Overlap: defaultChunking.Overlap, Tokenizer: l.o.Tokenizer.Digest()})
	if err == nil {
		err = os.MkdirAll(filepath.Join(x.uploads, recordDir), 0o777)
	}
	if err == nil {
		err = writeJSON(x.record(madeName), x.made) // last: the index is there with it
	}
	if err != nil {
		os.RemoveAll(x.dir)
		os.RemoveAll(x.uploads)
		return Info{}, err
	}
	l.mu.Lock()
	l.indexes[name] = x
	l.mu.Unlock()
	return l.Info(name)
}

// Rename gives an index that the library made another label.
func (l *Library) Rename(name, label string) error {
	x, err := l.find(name)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made == nil {
		return fmt.Errorf("index %q: %w", name, ErrGiven)
	}
	renamed := *x.made
	renamed.Label = label
	if err := writeJSON(x.record(madeName), renamed); err != nil {
		return err
	}
	x.made = &renamed
	return nil
}

// Remove removes an index that the library made, with its folder; the files that its
// documents were made of stay. Those who read it go on as before.
func (l *Library) Remove(name string) error {
	x, err := l.find(name)
	if err != nil {
		return err
	}
	if x.given() {
		return fmt.Errorf("index %q: %w", name, ErrGiven)
	}
	if !x.writing.TryLock() {
		return fmt.Errorf("index %q: %w", name, ErrBusy)
	}
	defer x.writing.Unlock()
	if err := os.Remove(x.record(madeName)); err != nil { // first: an index without it is gone
		return err
	}
	x.removed = true
	l.mu.Lock()
	delete(l.indexes, name)
	l.mu.Unlock()
	l.shelf.forget(name)
	return errors.Join(os.RemoveAll(x.uploads), os.RemoveAll(x.dir))
}

func (x *index) given() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.made == nil
}

// Owner returns who may see an index that the library made, as Create was told; else "".
func (l *Library) Owner(name string) string {
	x, err := l.find(name)
	if err != nil {
		return ""
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made == nil {
		return ""
	}
	return x.made.Owner
}

// Info is what is known of an index.
type Info struct {
	Name       string
	Label      string    // what people call it; empty for one that was given
	Owner      string    // of one that the library made
	Created    time.Time // the same
	Made       bool      // by the library
	Generation uint64    // counts the changes
	Changed    time.Time // the last of them
	Sources    int
	Passages   int
	Bytes      int64 // of the index's files
	Chunking   corpus.Chunking
	Documents  map[State]int // that were uploaded for it
}

// Info returns what is known of an index.
func (l *Library) Info(name string) (Info, error) {
	x, err := l.find(name)
	if err != nil {
		return Info{}, err
	}
	r, err := l.Acquire(name)
	if err != nil {
		return Info{}, err
	}
	defer r.Release()
	in := r.s.several.Parts()[0].Index
	held := in.Info()
	chunking, err := chunkingOf(held)
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name, Generation: held.Generation, Changed: r.s.stamps[0].Time(), Sources: held.Sources, Passages: held.Passages, Bytes: in.Size(), Chunking: chunking, Documents: map[State]int{}}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made != nil {
		info.Made, info.Label, info.Owner, info.Created = true, x.made.Label, x.made.Owner, x.made.Created
	}
	for _, d := range x.documents {
		if d.State != removing {
			info.Documents[d.State]++
		}
	}
	return info, nil
}

// defaultChunking is how documents of a new index are cut, as `flashback index` does.
var defaultChunking = corpus.Chunking{Unit: corpus.Tokens, Size: 128, Overlap: 16, Breadcrumb: true}

// chunker returns what cuts an index's documents, or why this library cannot cut any
// more for it.
func (l *Library) chunker(name string) (*corpus.Chunker, error) {
	r, err := l.Acquire(name)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	info := r.s.several.Parts()[0].Index.Info()
	chunking, err := chunkingOf(info)
	if err != nil {
		return nil, err
	}
	if chunking.Unit == corpus.Tokens && info.Tokenizer != l.o.Tokenizer.Digest() {
		return nil, fmt.Errorf("index %q was cut by another model's tokens: %w", name, ErrTokenizer)
	}
	return corpus.NewChunker(chunking, l.o.Tokenizer)
}

// chunkingOf returns how an index's documents are cut.
func chunkingOf(info bm25.Info) (corpus.Chunking, error) {
	if info.Chunking == "" {
		return defaultChunking, nil
	}
	chunking, err := corpus.ParseChunking(info.Chunking, info.Overlap)
	chunking.Breadcrumb = info.BreadcrumbWeight > 0
	return chunking, err
}

// ErrTokenizer says that passages of an index are measured in another model's tokens.
var ErrTokenizer = errors.New("documents can be added by that model only, or after indexing again")

// Documents returns what was uploaded for an index, and what became of it, the oldest
// first.
func (l *Library) Documents(name string) ([]Document, error) {
	x, err := l.find(name)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]Document, 0, len(x.documents))
	for _, d := range x.documents {
		if d.State != removing {
			all = append(all, x.shown(d))
		}
	}
	slices.SortFunc(all, func(a, b Document) int { return cmp.Or(a.Added.Compare(b.Added), cmp.Compare(a.File, b.File)) })
	return all, nil
}

// Document returns what became of a file that was uploaded for an index.
func (l *Library) Document(name, file string) (Document, error) {
	x, err := l.find(name)
	if err != nil {
		return Document{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.documents[file]
	if d == nil || d.State == removing {
		return Document{}, fmt.Errorf("index %q has no file %q: %w", name, file, ErrNotFound)
	}
	return x.shown(d), nil
}

// shown returns a document as others see it; x.mu is held.
func (x *index) shown(d *Document) Document {
	shown := *d
	switch d.State {
	case InProgress:
		shown.Progress = x.progress
	case Completed:
		shown.Progress = 1
	}
	return shown
}
