package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLines bounds a file of lines that is read: scores of about a hundred thousand
// windows.
const maxLines = 1 << 30

// lines is a file of JSON lines that an interrupted run goes on with: the first says
// what the others are of. Each line is whole as soon as add returns. A nil file takes
// lines and keeps none.
type lines struct{ file *os.File }

// openLines opens the file at path, or makes it with first as its first line, and gives
// every whole line, its number from 1 before it, to take. A last line that a crash cut
// off is dropped; a file with no whole line, and lines that take refuses, are errors
// that name the file, which stays as it is.
func openLines(path string, first any, take func(n int, line []byte) error) (l *lines, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	data, err := io.ReadAll(io.LimitReader(file, maxLines+1))
	if err != nil {
		return nil, err
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	switch {
	case len(data) > maxLines:
		return nil, fmt.Errorf("%s: larger than %d MiB, none that this command wrote; name another file", path, maxLines>>20)
	case len(data) > 0 && len(whole) == 0:
		return nil, fmt.Errorf("%s: has no whole line, so nothing says what it is of; name another file, or remove it", path)
	}
	l = &lines{file}
	if len(data) == 0 {
		return l, l.add(first)
	}
	n, advice := 0, "name another file"
	for line := range bytes.Lines(whole) {
		n++
		if n == 2 {
			advice += ", or remove the line"
		}
		if err := take(n, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w; %s", path, n, err, advice)
		}
	}
	if err := file.Truncate(int64(len(whole))); err != nil {
		return nil, err
	}
	_, err = file.Seek(int64(len(whole)), io.SeekStart)
	return l, err
}

// add writes v as a line.
func (l *lines) add(v any) error {
	if l == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// close syncs and closes the file.
func (l *lines) close() error {
	if l == nil {
		return nil
	}
	return errors.Join(l.file.Sync(), l.file.Close())
}
