package library

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/folder"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// What a change of a served index may take: others are answered meanwhile.
const (
	changeMemory  = 64 << 20
	changeWorkers = 1
)

// patience is how long a job waits until it tries again where another process writes.
const patience = time.Second

// change puts documents that are queued into the index and takes out those that are
// being removed, all in one change, which readers then see. x.writing is held, and is
// given back when it is told what became of them. What is returned went wrong with more
// than a document; each that was to come has it noted. A writer of another process is
// waited for by whoever is patient.
func (l *Library) change(ctx context.Context, x *index, documents []*Document, patient bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	coming := l.begin(x, documents, cancel)
	faults := map[*Document]fault{}
	failed, left := ctx.Err(), error(nil)
	if failed == nil {
		l.arrange(x, documents, faults)
		var report *collection.Report
		if report, failed = l.update(ctx, x, patient); failed == nil {
			failed = l.unread(x, coming, report, faults)
		}
	}
	if failed == nil && x.displaceUnreadable(faults) {
		_, left = l.update(ctx, x, patient) // nothing of them is to be listed
	}
	return errors.Join(failed, left, l.settle(ctx, x, documents, faults, failed))
}

// begin notes that the documents which are queued are taken up, and returns them.
func (l *Library) begin(x *index, documents []*Document, interrupt context.CancelFunc) (coming []*Document) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.interrupt, x.progress = interrupt, 0
	for _, d := range documents {
		if d.State == Queued {
			d.State = InProgress // in memory only: after a kill it is queued again
			coming = append(coming, d)
		}
		if d.cancelled {
			interrupt()
		}
	}
	return coming
}

// fault is why a document is not in an index, or still in it.
type fault struct {
	error
	unreadable bool // its reader found nothing in it
}

// arrange makes the folder what the index is to be of.
func (l *Library) arrange(x *index, documents []*Document, faults map[*Document]fault) {
	for _, d := range documents {
		var err error
		if d.State == removing {
			err = x.displace(d)
		} else {
			err = l.place(x, d)
		}
		if err != nil {
			faults[d] = fault{error: err}
		}
	}
}

// displaceUnreadable takes out of the folder what could not be read, and reports whether
// there was any.
func (x *index) displaceUnreadable(faults map[*Document]fault) (any bool) {
	for d, f := range faults {
		if f.unreadable {
			x.displace(d) // where that fails, settle tries it again and says so
			any = true
		}
	}
	return any
}

// update brings the index in step with the folder, and its readers see it.
func (l *Library) update(ctx context.Context, x *index, patient bool) (*collection.Report, error) {
	chunker, err := l.chunker(x.name)
	if err != nil {
		return nil, err
	}
	total, done := folderSize(x.uploads), int64(0)
	o := collection.Options{
		Chunker: chunker, Kept: true, // a folder around this one is read as it was
		Read:  corpus.Options{Folder: folder.Options{NoIgnore: true}},
		Index: bm25.BuildOptions{Memory: changeMemory, Workers: changeWorkers},
	}
	o.Read.Progress = func(n int64) {
		done += n
		x.mu.Lock()
		defer x.mu.Unlock()
		x.progress = min(1, float64(done)/float64(max(total, 1)))
	}
	for {
		report, err := collection.Update(ctx, x.dir, []string{x.uploads}, o)
		if err == nil {
			err = l.shelf.renew(x.name)
		}
		if !patient || !errors.Is(err, bm25.ErrLocked) {
			return report, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(patience):
		}
	}
}

// folderSize adds up the files that lie in a folder.
func folderSize(dir string) (total int64) {
	entries, _ := os.ReadDir(dir) // where it cannot be read the update says so
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
	}
	return total
}

// unread finds the documents that are not in the index though nothing failed.
func (l *Library) unread(x *index, coming []*Document, report *collection.Report, faults map[*Document]fault) error {
	r, err := l.Acquire(x.name)
	if err != nil {
		return err
	}
	defer r.Release()
	in := r.s.several.Parts()[0].Index
	for _, d := range coming {
		name, has, err := x.source(in, d)
		if err != nil {
			return err
		}
		if _, failed := faults[d]; failed || has {
			continue
		}
		why := corpus.ErrNoText
		if report.Read.Unknown[strings.ToLower(path.Ext(d.Name))] > 0 {
			why = corpus.ErrUnknown
		}
		for _, f := range report.Read.Faults {
			if f.Source == name {
				why = errors.New(f.Reason)
			}
		}
		faults[d] = fault{why, true}
	}
	return nil
}

// source returns what a document is called in an index, and whether it has passages there.
func (x *index) source(in *bm25.Index, d *Document) (name string, has bool, err error) {
	name, ok := collection.Name(x.dir, in.Roots(), filepath.Join(x.uploads, d.Name))
	if !ok {
		return "", false, nil
	}
	s, has, err := in.Source(name)
	return name, has && s.Passages > 0, err
}

// settle notes what became of each document, and gives x.writing back with it: whoever
// sees the one has the other. failed is what went wrong with all.
func (l *Library) settle(ctx context.Context, x *index, documents []*Document, faults map[*Document]fault, failed error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.writing.Unlock()
	x.interrupt = nil
	var errs []error
	for _, d := range documents {
		f, faulty := faults[d]
		cancelled := d.cancelled
		d.cancelled = false
		switch {
		case d.State == removing && (faulty || failed != nil):
			errs = append(errs, f.error) // it is tried again when the library is opened
		case d.State == removing:
			errs = append(errs, x.drop(d))
		case failed == nil && !faulty:
			errs = append(errs, x.end(d, Completed, ""))
		case failed != nil && cancelled:
			errs = append(errs, x.end(d, Cancelled, ""), x.displace(d))
		case failed != nil && ctx.Err() != nil: // for another's cancellation, or the library's end
			d.State = Queued
			l.jobs.add(x, d)
		case failed != nil:
			errs = append(errs, x.end(d, Failed, outward(failed)), x.displace(d))
		default:
			reason := f.Error()
			if d.Unreadable = f.unreadable; !f.unreadable {
				reason = outward(f.error)
				errs = append(errs, f.error)
			}
			errs = append(errs, x.end(d, Failed, reason), x.displace(d))
		}
	}
	return errors.Join(errs...)
}

// outward returns what is told of an error to those who see no paths of this machine; the
// library's Warn hears the rest.
func outward(err error) string {
	switch {
	case atomicfile.NoSpace(err):
		return "the disk is full"
	case errors.Is(err, ErrTokenizer):
		return err.Error()
	}
	return "the index could not be changed; the server's log says why"
}
