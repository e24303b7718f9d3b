// Package indexcache keeps indexes of whole sets of documents in the cache, and makes
// one again when its documents have changed.
package indexcache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/folder"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// Documents are a set of documents.
type Documents struct {
	Name  string // for people
	Paper bool   // their index is the paper's (flashback.IndexOptions)
	root  string
	docs  iter.Seq2[flashback.Document, error]
	// state writes what changes when the documents do.
	state func(h hash.Hash) error
}

// Of returns the documents of a file or a folder.
func Of(path string) (*Documents, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return &Documents{
		Name: path, root: root, docs: flashback.ReadDocuments(root),
		state: func(h hash.Hash) error { return filesState(h, root) },
	}, nil
}

// Go returns the documentation of the standard library of the Go tree at root.
func Go(root string) (*Documents, error) {
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("no Go tree at %s: %w", root, err)
	}
	release, _, _ := strings.Cut(string(version), "\n")
	return &Documents{
		Name: "the documentation of Go's standard library, " + release,
		root: root, docs: corpus.GoDoc(root),
		state: func(h hash.Hash) error { _, err := h.Write(version); return err },
	}, nil
}

// filesState writes the names, sizes and times of all files that are read.
func filesState(h hash.Hash, root string) error {
	for f, err := range corpus.Files(root, folder.Options{Skip: bm25.IsIndex}) {
		if err != nil {
			if corpus.IsFileError(err) {
				continue
			}
			return err
		}
		fmt.Fprintf(h, "%s\x00%d\x00%d\n", f.Name, f.Info.Size(), f.Info.ModTime().UnixNano())
	}
	return nil
}

// Longest returns the title of the longest of the first documents, "" if there are
// none.
func (l *Documents) Longest() string {
	const looked = 100
	title, length, n := "", 0, 0
	for doc, err := range l.docs {
		if err == nil && len(doc.Text) > length {
			title, length = cmp.Or(doc.Title, doc.Source), len(doc.Text)
		}
		if n++; n == looked {
			break
		}
	}
	return title
}

// Index is the documents' index.
type Index struct {
	Dir      string
	Passages int
	Made     bool // it was not there
}

// Index returns the index of the documents as they are now, which it makes where
// there is none or again is set, and then removes those of the documents as they
// were before.
func (l *Documents) Index(ctx context.Context, again bool, o flashback.IndexOptions) (Index, error) {
	place, dir, err := l.place(cmp.Or(o.Model, flashback.DefaultModel))
	if err != nil {
		return Index{}, err
	}
	if index, err := bm25.Open(dir, bm25.Options{}); err == nil && !again {
		defer index.Close()
		return Index{Dir: dir, Passages: index.Info().Passages}, nil
	}
	o.Paper = l.Paper
	passages, err := flashback.BuildIndex(ctx, dir, l.docs, o)
	if err != nil {
		return Index{}, err
	}
	return Index{Dir: dir, Passages: passages, Made: true}, removeOthers(place, filepath.Base(dir))
}

// place returns the directory of the documents' indexes, and in it that of the
// documents as they are now, cut by the tokens of the model.
func (l *Documents) place(modelName string) (place, dir string, err error) {
	found, err := hub.Resolve(modelName)
	if err != nil {
		return "", "", err
	}
	tokenizer, err := model.LoadTokenizer(found.Path)
	if err != nil {
		return "", "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\npaper: %v\n", tokenizer.Digest(), l.Paper)
	if err := l.state(h); err != nil {
		return "", "", fmt.Errorf("cannot read the documents: %w", err)
	}
	cache, err := hub.CacheDir()
	if err != nil {
		return "", "", err
	}
	root := sha256.Sum256([]byte(l.root))
	place = filepath.Join(cache, "demo", filepath.Base(l.root)+"-"+hex.EncodeToString(root[:4]))
	return place, filepath.Join(place, hex.EncodeToString(h.Sum(nil)[:8])), nil
}

// removeOthers removes the indexes of the documents as they were before.
func removeOthers(place, current string) error {
	entries, err := os.ReadDir(place)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != current {
			if err := os.RemoveAll(filepath.Join(place, e.Name())); err != nil {
				return fmt.Errorf("cannot remove an old index: %w", err)
			}
		}
	}
	return nil
}
