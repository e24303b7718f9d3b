package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// State is what has become of a document.
type State string

// The states.
const (
	Queued     State = "queued"
	InProgress State = "in_progress"
	Completed  State = "completed"
	Failed     State = "failed"
	Cancelled  State = "cancelled"

	removing State = "removing" // only until the index was changed
)

// Document is an uploaded file in an index, or on its way there.
type Document struct {
	File  string    `json:"file"` // its id
	Name  string    `json:"name"` // in the index's folder of uploads
	Size  int64     `json:"size"` // bytes
	Added time.Time `json:"added"`
	State State     `json:"state"`
	// Error is why it failed. Unreadable says that its reader found nothing in it; else
	// it was not for the document.
	Error      string  `json:"error,omitempty"`
	Unreadable bool    `json:"unreadable,omitempty"`
	Progress   float64 `json:"-"` // from 0 to 1

	cancelled bool // somebody does not want it any more
}

func (d *Document) record() string { return d.File + ".json" }

// finished tells that nothing more is going to become of a document that is in no index.
func (d *Document) finished() bool { return d.State == Failed || d.State == Cancelled }

// Bounds of what is kept of an index's documents.
const (
	maxDocuments = 10_000
	maxFinished  = 100 // of those that failed or were cancelled
)

// readDocuments reads what is known of an index's uploads.
func (x *index) readDocuments() error {
	entries, err := os.ReadDir(filepath.Join(x.uploads, recordDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, known := strings.CutSuffix(e.Name(), ".json")
		switch {
		case strings.HasPrefix(e.Name(), "."): // half written
			os.Remove(x.record(e.Name()))
		case known && strings.HasPrefix(id, filePrefix):
			d := &Document{}
			if err := readJSON(x.record(e.Name()), d); err != nil {
				return err
			}
			if d.File != id || CleanName(d.Name) != d.Name {
				return fmt.Errorf("%s: it is of the file %q, called %q", x.record(e.Name()), d.File, d.Name)
			}
			x.documents[id] = d
			x.names[foldName(d.Name)] = d
			os.Remove(filepath.Join(x.uploads, "."+id)) // half placed
		}
	}
	return nil
}

// Attach puts a file into an index, in the background; Document tells how far it is. A
// file that is there already, or on its way, is left alone.
func (l *Library) Attach(name, file string) (Document, error) {
	f, err := l.File(file)
	if err != nil {
		return Document{}, err
	}
	x, err := l.find(name)
	if err != nil {
		return Document{}, err
	}
	if _, err := l.chunker(name); err != nil {
		return Document{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.documents[file]
	switch {
	case d != nil && d.State == removing:
		return Document{}, fmt.Errorf("index %q: %w", name, ErrBusy)
	case d != nil && !d.finished():
		return x.shown(d), nil
	case d != nil:
		x.drop(d)
	case len(x.documents) >= maxDocuments:
		return Document{}, fmt.Errorf("%w documents in index %q (%d); make another one", ErrFull, name, maxDocuments)
	}
	d = &Document{File: file, Size: f.Size, Added: time.Now().UTC(), State: Queued}
	d.Name = freeName(f.Name, func(name string) bool {
		_, err := os.Lstat(filepath.Join(x.uploads, name))
		return x.names[foldName(name)] != nil || err == nil
	})
	if err := os.MkdirAll(filepath.Join(x.uploads, recordDir), 0o777); err != nil {
		return Document{}, err
	}
	if err := writeJSON(x.record(d.record()), d); err != nil {
		return Document{}, err
	}
	x.documents[file], x.names[foldName(d.Name)] = d, d
	l.jobs.add(x, d)
	return x.shown(d), nil
}

// drop forgets a document; x.mu is held.
func (x *index) drop(d *Document) error {
	err := os.Remove(x.record(d.record()))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		delete(x.documents, d.File)
		delete(x.names, foldName(d.Name))
		return nil
	}
	return err
}

// Cancel gives up putting a file into an index. One that is in it already stays.
func (l *Library) Cancel(name, file string) error {
	x, err := l.find(name)
	if err == nil {
		_, err = l.cancel(x, file)
	}
	return err
}

// cancel is Cancel, and reports whether a change is under way that ends because of it.
func (l *Library) cancel(x *index, file string) (interrupted bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.documents[file]
	switch {
	case d == nil:
		return false, fmt.Errorf("index %q has no file %q: %w", x.name, file, ErrNotFound)
	case d.State == Queued && l.jobs.withdraw(d):
		return false, x.end(d, Cancelled, "")
	case d.State == Queued: // it is just being taken up
		d.cancelled = true
		return true, nil
	case d.State == InProgress:
		d.cancelled = true
		x.interrupt()
		return true, nil
	}
	return false, nil
}

// Detach takes the document that a file became out of an index. One that is being added
// is given up; where the index is being changed otherwise, it is ErrBusy.
func (l *Library) Detach(ctx context.Context, name, file string) error {
	x, err := l.find(name)
	if err != nil {
		return err
	}
	interrupted, err := l.cancel(x, file)
	if err != nil {
		return err
	}
	if x.forgot(file) {
		return nil
	}
	if interrupted {
		x.writing.Lock()
	} else if !x.writing.TryLock() {
		return fmt.Errorf("index %q: %w", name, ErrBusy)
	}
	if x.forgot(file) {
		x.writing.Unlock()
		return nil
	}
	d, err := x.remove(file)
	if err != nil {
		x.writing.Unlock()
		return err
	}
	err = busy(l.change(ctx, x, []*Document{d}, false))
	if err != nil {
		l.jobs.add(x, d) // it is not shown any more, and does not stay
	}
	return err
}

// forgot drops a document that never came to be in the index, if it is one.
func (x *index) forgot(file string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.documents[file]
	return d != nil && d.finished() && x.drop(d) == nil
}

// remove notes that a document is to be taken out; x.writing is held.
func (x *index) remove(file string) (*Document, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.documents[file]
	if d == nil || x.removed {
		return nil, fmt.Errorf("index %q has no file %q: %w", x.name, file, ErrNotFound)
	}
	d.State = removing
	return d, writeJSON(x.record(d.record()), d)
}

// end notes what became of a document; x.mu is held.
func (x *index) end(d *Document, state State, reason string) error {
	d.State, d.Error = state, reason
	err := writeJSON(x.record(d.record()), d)
	var finished []*Document
	for _, d := range x.documents {
		if d.finished() {
			finished = append(finished, d)
		}
	}
	if len(finished) > maxFinished {
		err = errors.Join(err, x.drop(slices.MinFunc(finished, func(a, b *Document) int { return a.Added.Compare(b.Added) })))
	}
	return err
}

// place puts a document's file into the folder: the same file under another name where
// the system can do that, else a copy.
func (l *Library) place(x *index, d *Document) error {
	from, to := filepath.Join(l.files.dir, d.File), "."+d.File
	folder, err := os.OpenRoot(x.uploads)
	if err != nil {
		return err
	}
	defer folder.Close()
	folder.Remove(to)
	if os.Link(from, filepath.Join(x.uploads, to)) != nil {
		err = copyTo(folder, to, from)
	}
	if err == nil {
		err = atomicfile.Rename(filepath.Join(x.uploads, to), filepath.Join(x.uploads, d.Name))
	}
	folder.Remove(to) // it is there still if it failed, or if both were one file already
	return err
}

func copyTo(folder *os.Root, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := folder.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// displace takes a document's file out of the folder.
func (x *index) displace(d *Document) error {
	folder, err := os.OpenRoot(x.uploads)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Remove(d.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
