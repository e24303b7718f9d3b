package corpus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/pdf"
	"github.com/flashback-lm/flashback/internal/folder"
	"github.com/flashback-lm/flashback/internal/stream"
)

// MaxFile bounds what one document may take once unpacked, so that a small
// hostile archive cannot fill the memory.
const MaxFile = 256 << 20

// Options say how documents are read; the zero value does for files that say all
// themselves.
type Options struct {
	Fields Fields // empty names stand for DefaultFields
	Folder folder.Options
	Stdin  io.Reader // of the path "-"
	// Progress, if not nil, hears of the bytes of files that are done with.
	Progress func(bytes int64)
}

// What may become of a file besides being read or failing.
var (
	ErrNoText  = errors.New("it holds no text")
	ErrUnknown = errors.New("its kind is not known, and it is no text")
)

// Files yields the files of path: itself, or those of a folder. What cannot be
// read is a *FileError.
func Files(path string, o folder.Options) iter.Seq2[folder.File, error] {
	return func(yield func(folder.File, error) bool) {
		info, err := os.Stat(path)
		if err != nil {
			yield(folder.File{}, fmt.Errorf("cannot read the corpus: %w", err))
			return
		}
		if !info.IsDir() {
			yield(folder.File{Path: path, Name: filepath.Base(path), Info: info}, nil)
			return
		}
		for f, err := range folder.Files(path, o) {
			if broken, ok := errors.AsType[*folder.Error](err); ok {
				err = &FileError{Source: broken.Name, Err: broken.Err}
			} else if err != nil {
				err = fmt.Errorf("cannot read the corpus: %w", err)
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// Read yields the documents of path: a file, a folder with all below it, or "-"
// for standard input, which is taken as JSON lines if it starts with '{' and as
// one text otherwise. A file without text is a *FileError with ErrNoText; one in a
// folder that no reader knows, with ErrUnknown.
func Read(ctx context.Context, path string, o Options) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		if path == "-" {
			readStdin(ctx, o, yield)
			return
		}
		for f, err := range Files(path, o.Folder) {
			if err != nil {
				if !yield(Document{}, err) {
					return
				}
				continue
			}
			for doc, err := range ReadFile(ctx, f, o) {
				if err != nil && f.Path == path && errors.Is(err, ErrUnknown) {
					err = &FileError{Source: f.Name, Err: ErrBinary} // it was asked for by name
				}
				if !yield(doc, err) {
					return
				}
			}
		}
	}
}

// ReadFile yields the documents of one file; their source is its name.
func ReadFile(ctx context.Context, f folder.File, o Options) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		fail := func(err error) { yield(Document{}, &FileError{Source: f.Name, Err: reason(err)}) }
		file, err := stream.Open(ctx, f.Path)
		if err != nil {
			fail(err)
			return
		}
		defer file.Close()
		in := &counted{r: file, progress: o.Progress}
		defer func() { in.count(f.Info.Size() - in.n) }() // what a reader had no use for
		r, name, err := Decompress(in, f.Name)
		if err != nil {
			fail(err)
			return
		}
		defer r.Close()
		kind, known := KindOf(name)
		withText(f.Name, yield, func(yield func(Document, error) bool) {
			kind.parse(r, f.Name, name, o.Fields.withDefaults(), func(d Document, err error) bool {
				if !known && errors.Is(err, ErrBinary) {
					err = &FileError{Source: f.Name, Err: ErrUnknown}
				}
				if err != nil && ctx.Err() != nil {
					err = ctx.Err() // what a reader says of a file that was cut off is not true of it
				}
				return yield(d, err)
			})
		})
	}
}

// withText passes on what parse yields but for documents without text, and says so
// if a file has nothing else.
func withText(source string, yield func(Document, error) bool, parse func(yield func(Document, error) bool)) {
	anything, stopped := false, false
	parse(func(d Document, err error) bool {
		if stopped || err == nil && strings.TrimSpace(d.Text) == "" {
			return !stopped
		}
		anything = true
		stopped = !yield(d, err)
		return !stopped
	})
	if !anything && !stopped {
		yield(Document{}, &FileError{Source: source, Err: ErrNoText})
	}
}

// Texts leaves the errors about files that hold nothing to be read out.
func Texts(docs iter.Seq2[Document, error]) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for doc, err := range docs {
			if !Harmless(err) && !yield(doc, err) {
				return
			}
		}
	}
}

// Harmless reports whether an error only says that a file holds no text.
func Harmless(err error) bool {
	if faults, ok := errors.AsType[pdf.Faults](err); ok {
		return faults.OnlyBlank()
	}
	return errors.Is(err, ErrNoText) || errors.Is(err, ErrUnknown)
}

// counted tells how far a file is read.
type counted struct {
	r        io.Reader
	n        int64
	progress func(bytes int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(int64(n))
	return n, err
}

func (c *counted) count(n int64) {
	c.n += n
	if c.progress != nil && n > 0 {
		c.progress(n)
	}
}

// readAll reads a whole file of at most MaxFile bytes.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("larger than %d MiB; split it", MaxFile>>20)
	}
	return data, err
}

// readStdin yields what standard input holds.
func readStdin(ctx context.Context, o Options, yield func(Document, error) bool) {
	const source = "stdin"
	in := stream.Reader(ctx, o.Stdin)
	defer in.Close()
	r, first, err := peekText(&counted{r: in, progress: o.Progress})
	if err != nil {
		yield(Document{}, fmt.Errorf("cannot read standard input: %w", err))
		return
	}
	p := plain.parse
	if first == '{' {
		p = parseJSONL
	}
	withText(source, yield, func(yield func(Document, error) bool) {
		p(r, source, source, o.Fields.withDefaults(), func(d Document, err error) bool {
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
			return yield(d, err)
		})
	})
}

// reason drops the operation and path from a file system error; FileError
// names the file already.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
