package library

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/corpus"
)

// File is an uploaded file.
type File struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // as CleanName makes it
	Purpose string    `json:"purpose,omitempty"`
	Owner   string    `json:"owner,omitempty"` // who may see it, in the caller's words
	Size    int64     `json:"size"`            // bytes
	Created time.Time `json:"created"`
}

// maxFiles bounds how many files are kept.
const maxFiles = 100_000

// filePrefix begins the ids of files.
const filePrefix = "file-"

// fileStore keeps uploaded files, each under its id: what it was called by whoever sent
// it is in no path.
type fileStore struct {
	dir   string
	mu    sync.Mutex
	files map[string]File
}

// open reads what is known of the files in dir, and removes what a process that was
// killed left of others.
func (s *fileStore) open(dir string) error {
	s.dir, s.files = dir, map[string]File{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, known := strings.CutSuffix(e.Name(), ".json")
		if !known || !strings.HasPrefix(id, filePrefix) {
			continue
		}
		var f File
		if err := readJSON(filepath.Join(dir, e.Name()), &f); err != nil {
			return err
		}
		if f.ID != id {
			return fmt.Errorf("%s: it is of the file %q", filepath.Join(dir, e.Name()), f.ID)
		}
		s.files[id] = f
	}
	for _, e := range entries {
		if _, known := s.files[strings.TrimSuffix(e.Name(), ".json")]; !known {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

// maxRecord bounds the small files that say what is known of something.
const maxRecord = 1 << 20

// readJSON reads one of them.
func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w; move it away to go without", path, err)
	}
	return nil
}

// writeJSON writes one of them, whole or not at all.
func writeJSON(path string, v any) error {
	return atomicfile.WriteJSON(filepath.Dir(path), map[string]any{filepath.Base(path): v})
}

// headSize is how much of a file is looked at to tell whether it can be read.
const headSize = 8 << 10

// Put keeps what r holds, at most limit bytes of it, as a file of that name, which
// CleanName cleans. When all has come, finish says whose the file is and what for, or
// refuses it. Files that no reader knows are ErrKind, longer ones ErrTooLarge.
func (l *Library) Put(name string, r io.Reader, limit int64, finish func(*File) error) (f File, err error) {
	s := &l.files
	if s.dir == "" {
		return f, ErrNoDir
	}
	s.mu.Lock()
	full := len(s.files) >= maxFiles
	s.mu.Unlock()
	if full {
		return f, fmt.Errorf("%w files (%d); delete some", ErrFull, maxFiles)
	}
	f = File{ID: newID(filePrefix), Name: CleanName(name)}
	in := bufio.NewReaderSize(r, headSize)
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return f, err
	}
	if !corpus.Accepts(f.Name, head) {
		return f, fmt.Errorf("%q: %w", f.Name, ErrKind)
	}
	path := filepath.Join(s.dir, f.ID)
	err = atomicfile.Write(path, func(w io.Writer) error {
		f.Size, err = io.Copy(w, io.LimitReader(in, limit+1))
		if err == nil && f.Size > limit {
			err = fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, limit)
		}
		if err == nil {
			err = finish(&f)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	f.Created = time.Now().UTC().Truncate(time.Second)
	if err := writeJSON(path+".json", f); err != nil {
		os.Remove(path)
		return f, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[f.ID] = f
	return f, nil
}

// File returns what is known of a file.
func (l *Library) File(id string) (File, error) {
	l.files.mu.Lock()
	defer l.files.mu.Unlock()
	f, ok := l.files.files[id]
	if !ok {
		return f, fmt.Errorf("file %q: %w", id, ErrNotFound)
	}
	return f, nil
}

// Files returns all files, the oldest first.
func (l *Library) Files() []File {
	l.files.mu.Lock()
	defer l.files.mu.Unlock()
	files := make([]File, 0, len(l.files.files))
	for _, f := range l.files.files {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return files
}

// Content opens a file.
func (l *Library) Content(id string) (*os.File, error) {
	if _, err := l.File(id); err != nil {
		return nil, err
	}
	return os.Open(filepath.Join(l.files.dir, id))
}

// Delete deletes a file, and the document that it became in any index. Where one of
// these is being changed it is ErrBusy; what was done of it by then stays done.
func (l *Library) Delete(ctx context.Context, id string) error {
	if _, err := l.File(id); err != nil {
		return err
	}
	for _, name := range l.Names() {
		if err := l.Detach(ctx, name, id); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	l.files.mu.Lock()
	defer l.files.mu.Unlock()
	path := filepath.Join(l.files.dir, id)
	if err := os.Remove(path + ".json"); err != nil { // first: a file without it is gone
		return err
	}
	delete(l.files.files, id)
	return os.Remove(path)
}
