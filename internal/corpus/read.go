package corpus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// MaxFile bounds what one document may take once unpacked, so that a small
// hostile archive cannot fill the memory.
const MaxFile = 256 << 20

// Read yields the documents of path: a file, a directory with all below it, or
// "-" for stdin, which is taken as JSON lines if it starts with '{' and as one
// text otherwise.
func Read(path string, stdin io.Reader, fields Fields) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		if path == "-" {
			readStdin(stdin, fields, yield)
			return
		}
		info, err := os.Stat(path)
		if err != nil {
			yield(Document{}, fmt.Errorf("cannot read the corpus: %w", err))
			return
		}
		if !info.IsDir() {
			readFile(path, filepath.Base(path), fields, true, yield)
			return
		}
		for file, err := range walk(path) {
			if err != nil {
				if !yield(Document{}, err) {
					return
				}
				continue
			}
			name, err := filepath.Rel(path, file)
			if err != nil {
				name = file
			}
			if !readFile(file, filepath.ToSlash(name), fields, false, yield) {
				return
			}
		}
	}
}

// walk yields the files below root in lexical order, leaving out hidden ones
// and those that ignore files name.
func walk(root string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rules := newIgnoreRules(root)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if path == root {
					return err
				}
				if !yield("", &FileError{Source: path, Err: reason(err)}) {
					return fs.SkipAll
				}
				return nil
			}
			if path != root && (strings.HasPrefix(d.Name(), ".") || rules.ignores(path, d.IsDir())) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if d.IsDir() {
				if err := rules.load(path); err != nil && !yield("", &FileError{Source: path, Err: reason(err)}) {
					return fs.SkipAll
				}
				return nil
			}
			if d.Type().IsRegular() && !yield(path, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", fmt.Errorf("cannot read the corpus: %w", err))
		}
	}
}

// readFile yields the documents of one file and reports whether to go on. A
// binary file of no known kind is an error only where it was asked for by name.
func readFile(path, source string, fields Fields, named bool, yield func(Document, error) bool) bool {
	fail := func(err error) bool {
		return yield(Document{}, &FileError{Source: source, Err: reason(err)})
	}
	file, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	r, name, err := Decompress(file, source)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	kind, known := KindOf(name)
	stopped := false
	goOn := kind.parse(r, source, name, fields, func(d Document, err error) bool {
		if !known && !named && errors.Is(err, ErrBinary) {
			return true // pictures and programs among the documents
		}
		stopped = stopped || !yield(d, err)
		return !stopped
	})
	return goOn && !stopped
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
func readStdin(stdin io.Reader, fields Fields, yield func(Document, error) bool) {
	const source = "stdin"
	r, first, err := peekText(stdin)
	if err != nil {
		yield(Document{}, fmt.Errorf("cannot read standard input: %w", err))
		return
	}
	p := plain.parse
	if first == '{' {
		p = parseJSONL
	}
	p(r, source, source, fields, yield)
}

// reason drops the operation and path from a file system error; FileError
// names the file already.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
