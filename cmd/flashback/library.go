package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// library is what demo answers from.
type library struct {
	name   string // for people
	system string // system message of its questions
	asked  string // its question where none is given; empty: made from the documents
	root   string
	docs   iter.Seq2[flashback.Document, error]
	state  func(h hash.Hash) error // writes what changes when the documents do
}

// findLibrary returns the documents of the folder, or of Go's standard library
// where it is empty.
func findLibrary(ctx context.Context, folder string) (*library, error) {
	if folder == "" {
		root, err := goroot(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w; or name a folder of documents: flashback demo FOLDER", err)
		}
		return goLibrary(root)
	}
	root, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(root); err != nil {
		return nil, fmt.Errorf("cannot read the documents: %w", err)
	} else if !info.IsDir() {
		return nil, usagef("%s is not a folder; put the documents into one", folder)
	}
	return &library{
		name: folder, system: askSystem, root: root, docs: flashback.ReadDocuments(root),
		state: func(h hash.Hash) error { return folderState(h, root) },
	}, nil
}

func goLibrary(root string) (*library, error) {
	version, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("no Go tree at %s: %w; set GOROOT, or name a folder of documents", root, err)
	}
	release, _, _ := strings.Cut(string(version), "\n")
	return &library{
		name:   "the documentation of Go's standard library, " + release,
		system: "You explain the Go programming language. Answer the question in one or two sentences, with what its documentation says.",
		asked:  "What does context.WithTimeout return?",
		root:   root,
		docs:   corpus.GoDoc(root),
		state:  func(h hash.Hash) error { _, err := h.Write(version); return err },
	}, nil
}

// folderState writes the names, sizes and times of all files in a folder.
func folderState(h hash.Hash, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s\x00%d\x00%d\n", path, info.Size(), info.ModTime().UnixNano())
		return nil
	})
}

// question returns what to ask: the library's own question, one that is typed on
// a terminal, or one about the longest of the first documents.
func (l *library) question(in io.Reader, log io.Writer) (string, error) {
	if l.asked != "" {
		return l.asked, nil
	}
	if f, ok := in.(*os.File); ok && terminal.Is(f) {
		fmt.Fprint(log, "Question: ")
		line, err := bufio.NewReader(in).ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			return line, nil
		}
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("cannot read the question: %w", err)
		}
	}
	const looked = 100
	name, length, n := "", 0, 0
	for doc, err := range l.docs {
		if err == nil && len(doc.Text) > length {
			name, length = cmp.Or(doc.Title, doc.Source), len(doc.Text)
		}
		if n++; n == looked {
			break
		}
	}
	return fmt.Sprintf("What does %q say?", name), nil
}

// index returns the directory of the library's index, which it makes where there
// is none of the documents as they are now.
func (l *library) index(ctx context.Context, modelName string, again bool, out, log io.Writer) (string, error) {
	place, dir, err := l.place(modelName)
	if err != nil {
		return "", err
	}
	if index, err := bm25.Open(dir, bm25.Options{}); err == nil && !again {
		defer index.Close()
		fmt.Fprintf(out, "Index: %s passages of %s\n", humanize.Comma(int64(index.Info().Passages)), l.name)
		return dir, nil
	}
	bar := progress.New(log, "indexing", -1, true)
	defer bar.Finish()
	start, counted := time.Now(), int64(0)
	passages, err := flashback.BuildIndex(ctx, dir, l.docs, flashback.IndexOptions{
		Model:   modelName,
		Skipped: func(err error) { fmt.Fprintf(log, "flashback: skipped %v\n", err) },
		Progress: func(_ int, bytes int64) {
			bar.Add(int(bytes - counted))
			counted = bytes
		},
	})
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		return "", errInterrupted
	}
	if err != nil {
		return "", fmt.Errorf("cannot index %s: %w", l.name, err)
	}
	fmt.Fprintf(out, "Index: %s passages of %s, made in %.1f s\n", humanize.Comma(int64(passages)), l.name, time.Since(start).Seconds())
	return dir, removeOthers(place, filepath.Base(dir))
}

// place returns the directory of the library's indexes, and in it that of the
// documents as they are now, cut by the tokens of the model.
func (l *library) place(modelName string) (place, dir string, err error) {
	found, err := hub.Resolve(modelName)
	if err != nil {
		return "", "", err
	}
	tokenizer, err := model.LoadTokenizer(found.Path)
	if err != nil {
		return "", "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", tokenizer.Digest())
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
