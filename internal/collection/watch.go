package collection

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How Watch waits.
const (
	quiet    = 500 * time.Millisecond // without a change before files are read
	patience = 5 * time.Second        // of waiting for that quiet
	interval = 10 * time.Second       // between looks where the system tells of no changes
)

// Watch updates the index whenever something changes at the paths, or at all that it
// was made of where there are none, until the context is done; that is no error.
// Each update's report or error goes to done, the first one's at once. polling, if
// not nil, hears why files are looked at now and then instead: the system may not
// tell of changes, or of so many folders'.
func Watch(ctx context.Context, dir string, paths []string, o Options, done func(*Report, error), polling func(error)) error {
	w := &watcher{polling: polling}
	var err error
	if w.notify, err = fsnotify.NewWatcher(); err != nil {
		w.poll(err)
	} else {
		defer w.notify.Close()
	}
	o.entered = w.entered
	for ctx.Err() == nil {
		report, err := Update(ctx, dir, paths, o)
		if ctx.Err() != nil {
			break
		}
		done(report, err)
		w.wait(ctx, err != nil)
	}
	return nil
}

// watcher waits for changes of the folders that the last update read.
type watcher struct {
	notify  *fsnotify.Watcher // nil: looks are taken every interval
	polling func(error)
}

// poll gives notifications up.
func (w *watcher) poll(err error) {
	if w.notify != nil {
		w.notify.Close()
		w.notify = nil
	}
	if w.polling != nil {
		w.polling(err)
		w.polling = nil
	}
}

// entered watches a folder, or the one that a file is in: editors replace files.
func (w *watcher) entered(dir string) {
	if w.notify == nil {
		return
	}
	if err := w.notify.Add(dir); err != nil && !notThere(err) {
		w.poll(err)
	}
}

// wait returns when files have changed and are quiet again, or may have changed, or
// after a while where an update failed.
func (w *watcher) wait(ctx context.Context, failed bool) {
	var still, enough <-chan time.Time
	if failed || w.notify == nil {
		enough = time.After(interval)
	}
	if w.notify == nil {
		select {
		case <-ctx.Done():
		case <-enough:
		}
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-still:
			return
		case <-enough:
			return
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod {
				continue
			}
			if still == nil {
				enough = time.After(patience)
			}
			still = time.After(quiet)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			if err == fsnotify.ErrEventOverflow {
				return // too many to be told of: look at all
			}
			w.poll(err)
			return
		}
	}
}
