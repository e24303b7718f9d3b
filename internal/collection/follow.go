package collection

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/folder"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// settled is how old a file must be when it is read for its time to tell a later
// change: clocks of file systems tick as slowly as this.
const settled = 2 * time.Second

// scope brings a root, or a part of one, up to date.
func (u *update) scope(s scope) error {
	r := s.root
	if r.path == "" {
		return u.standardInput(r)
	}
	if kept := rules(u.o.Read, r.reading.Also); !u.o.Kept || r.Reading == nil {
		// Known or not, it is read by these rules from now on.
		r.reread = r.reread || !slices.Equal(kept.encode(), r.reading.encode())
		r.reading = kept
	}
	o := r.reading.options(u.o.Read)
	o.Folder.Skip = u.skip
	if err := u.files(r, s.sub, o); err != nil {
		return err
	}
	if s.sub != "" {
		return nil
	}
	r.reading.Also = slices.DeleteFunc(slices.Clone(r.reading.Also), func(sub string) bool {
		_, err := os.Stat(filepath.Join(r.path, filepath.FromSlash(sub)))
		return notThere(err)
	})
	for _, sub := range r.reading.Also {
		if err := u.files(r, sub, o); err != nil {
			return err
		}
	}
	return nil
}

// skip leaves indexes out.
func (u *update) skip(dir string) bool {
	if u.isIndex(dir) {
		return true
	}
	if u.o.entered != nil {
		u.o.entered(dir)
	}
	return false
}

func (u *update) isIndex(dir string) bool {
	return bm25.IsIndex(dir) || withoutLinks(dir) == u.places.index
}

// files reads the files at a path of a root.
func (u *update) files(r *root, sub string, o corpus.Options) error {
	at := filepath.Join(r.path, filepath.FromSlash(sub))
	info, err := os.Stat(at)
	switch {
	case notThere(err) && r.Folder && sub == "":
		// Not a folder that was emptied: a disk may be away.
		u.report.Missing = append(u.report.Missing, r.path)
		u.failed = append(u.failed, r.Name)
		return nil
	case notThere(err):
		if sub == "" {
			u.places.remove(r)
		}
		return nil // deleted
	case err != nil:
		return fmt.Errorf("cannot read the corpus: %w", err)
	case info.IsDir() && u.isIndex(at):
		return fmt.Errorf("%s is an index, not documents", at)
	}
	if u.o.entered != nil {
		if info.IsDir() {
			u.o.entered(at)
		} else {
			u.o.entered(filepath.Dir(at))
		}
	}
	base := join(r.Name, sub)
	for f, err := range corpus.Files(at, o.Folder) {
		if broken, ok := errors.AsType[*corpus.FileError](err); ok {
			name := path.Clean(join(base, broken.Source))
			u.failed = append(u.failed, name)
			if err := u.fault(name, broken); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		f.Name = join(base, f.Name)
		if !info.IsDir() {
			f.Name = base
		}
		if err := u.file(r, f, o, !info.IsDir()); err != nil {
			return err
		}
	}
	return nil
}

// fault reports what could not be read.
func (u *update) fault(name string, broken *corpus.FileError) error {
	broken.Source = name
	for _, err := range u.report.Read.Watch(func(yield func(corpus.Document, error) bool) {
		yield(corpus.Document{}, broken)
	}, u.o.Strict) {
		return err
	}
	return nil
}

// file brings one file up to date. One of an unknown kind is a fault only if it was
// asked for by name.
func (u *update) file(r *root, f folder.File, o corpus.Options, named bool) error {
	at, old, known, err := u.w.Find(f.Name)
	if err != nil {
		return err
	}
	if known && !u.see(at) || !known && u.named[f.Name] {
		return nil // met before
	}
	if len(r.reading.Also) > 0 && !known {
		u.named[f.Name] = true
	}
	s := bm25.Source{Name: f.Name, Size: f.Info.Size(), Modified: f.Info.ModTime(), Read: time.Now()}
	if known && !r.reread && f.Info.Mode().IsRegular() {
		same, err := u.same(f, old, &s)
		if err != nil || same {
			return err
		}
	}
	readable := true
	if s.Digest == 0 && f.Info.Mode().IsRegular() {
		s.Digest, err = digest(f.Path)
		readable = err == nil
	}
	title := path.Base(f.Name)
	if sub, _ := within(r.Name, f.Name); sub != "" {
		title = sub
	}
	failed, any := false, false
	docs := u.report.Read.Watch(func(yield func(corpus.Document, error) bool) {
		for doc, err := range corpus.ReadFile(u.ctx, f, o) {
			if named && errors.Is(err, corpus.ErrUnknown) {
				err = &corpus.FileError{Source: f.Name, Err: corpus.ErrBinary}
			}
			failed = failed || err != nil && !corpus.Harmless(err)
			if !yield(doc, err) {
				return
			}
		}
	}, u.o.Strict)
	for doc, err := range docs {
		if err != nil {
			return err
		}
		if doc.Title == f.Name {
			doc.Title = title // the root's name would be searched in all of its files
		}
		if !any {
			any = true
			if err := u.w.Begin(s); err != nil {
				return err
			}
		}
		for p := range u.o.Chunker.Split(doc) {
			if err := u.w.Add(p); err != nil {
				return err
			}
		}
	}
	switch {
	case !any && failed && !known:
		return nil // tried again the next time
	case !any && failed && !readable:
		u.did(Kept, f.Name, "")
		return nil
	case !any && failed:
		// What it held before it does not hold any more.
		if err := u.w.Remove(f.Name); err != nil {
			return err
		}
	case !any:
		if err := u.w.Begin(s); err != nil {
			return err
		}
	}
	if known {
		u.did(Changed, f.Name, "")
		return nil
	}
	if u.w.Sources() > 0 && s.Digest != 0 && len(u.recent) < maxRenamed {
		u.renamed[file{s.Size, s.Digest}] = f.Name
		u.recent = append(u.recent, Change{What: New, Name: f.Name})
		return nil
	}
	u.did(New, f.Name, "")
	return nil
}

// see notes that a source of the index is dealt with, and reports whether it was not
// before.
func (u *update) see(at int) bool {
	bit := uint64(1) << (at % 64)
	fresh := u.seen[at/64]&bit == 0
	u.seen[at/64] |= bit
	return fresh
}

// same reports whether a file is as it was, by its size and time, or where those
// cannot tell by its content; and notes a new time.
func (u *update) same(f folder.File, old bm25.Source, s *bm25.Source) (bool, error) {
	if old.Read.IsZero() || old.Size != s.Size {
		return false, nil
	}
	sure := old.Modified.Equal(s.Modified) && old.Read.Sub(old.Modified) >= settled
	if !sure {
		if old.Digest == 0 {
			return false, nil
		}
		var err error
		if s.Digest, err = digest(f.Path); err != nil || s.Digest != old.Digest {
			return false, nil // its reader will say what is wrong with it
		}
		if err := u.w.Touch(*s); err != nil {
			return false, err
		}
	}
	if u.o.Read.Progress != nil {
		u.o.Read.Progress(s.Size)
	}
	u.report.Unchanged++
	return true, nil
}

// digest returns the XXH64 of a file's bytes, or 1 for the one that stands for none.
func digest(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := xxhash.New()
	if _, err := io.Copy(h, f); err != nil {
		return 0, err
	}
	return max(h.Sum64(), 1), nil
}

// standardInput reads what standard input holds.
func (u *update) standardInput(r *root) error {
	o := u.o.Read
	if err := u.w.Begin(bm25.Source{Name: r.Name, Read: time.Now()}); err != nil {
		return err
	}
	for doc, err := range u.report.Read.Watch(corpus.Read(u.ctx, "-", o), u.o.Strict) {
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(doc.ID, doc.Source); ok {
			doc.ID = r.Name + rest
		}
		doc.Source = r.Name
		for p := range u.o.Chunker.Split(doc) {
			if err := u.w.Add(p); err != nil {
				return err
			}
		}
	}
	u.did(New, r.Name, "")
	return nil
}

// removeUnseen removes the sources of a scope that are no longer there.
func (u *update) removeUnseen(s scope) error {
	if s.root.path == "" {
		return nil
	}
	return u.each(s.name(), func(at int, old bm25.Source) error {
		if !u.see(at) {
			return nil
		}
		for _, name := range u.failed {
			if _, in := within(name, old.Name); in {
				u.did(Kept, old.Name, "")
				return nil
			}
		}
		return u.gone(old)
	})
}

// remove removes all sources at or below a name, but for those that were read.
func (u *update) remove(name string) error {
	return u.each(name, func(at int, old bm25.Source) error {
		if !u.see(at) {
			return nil
		}
		return u.gone(old)
	})
}

// each calls f with the sources that the index had at or below a name.
func (u *update) each(name string, f func(at int, old bm25.Source) error) error {
	at, old, ok, err := u.w.Find(name)
	if err == nil && ok {
		err = f(at, old)
	}
	if err != nil {
		return err
	}
	for at, _, _, err = u.w.Find(name + "/"); err == nil && at < u.w.Sources(); at++ {
		if old, err = u.w.Source(at); err != nil {
			return err
		}
		if !strings.HasPrefix(old.Name, name+"/") {
			return nil
		}
		if err = f(at, old); err != nil {
			return err
		}
	}
	return err
}

// gone removes a source, which may have been renamed.
func (u *update) gone(old bm25.Source) error {
	if err := u.w.Remove(old.Name); err != nil {
		return err
	}
	known := file{old.Size, old.Digest}
	if now, ok := u.renamed[known]; ok && old.Digest != 0 {
		delete(u.renamed, known)
		at := slices.IndexFunc(u.recent, func(c Change) bool { return c.Name == now })
		u.recent[at] = Change{Renamed, now, old.Name}
		return nil
	}
	u.did(Deleted, old.Name, "")
	return nil
}
