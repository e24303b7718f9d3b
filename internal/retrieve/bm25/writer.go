package bm25

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"

	"github.com/blevesearch/vellum"
	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// BuildOptions says how an index is made. Append takes all but Memory, Workers and
// Progress from the index.
type BuildOptions struct {
	Analyzer     string // analysis.English if empty
	ExactLengths bool   // score by exact lengths rather than Lucene's one byte
	IndexTitle   bool   // a passage is found by its title too, as by its text
	// BreadcrumbWeight, if not 0, is how many times the terms of a passage's title and
	// headings count; passages are then shown to the model with them. IndexTitle says
	// no more then.
	BreadcrumbWeight int
	Memory           int64 // bytes that the build may take, about; DefaultMemory if 0
	Workers          int   // all processors if 0
	// What the passages were cut with, kept for those who read the index.
	Chunking  string
	Overlap   int
	Tokenizer string // digest
	// Progress, if not nil, hears of every batch that was taken up.
	Progress func(Stats)
}

// DefaultBreadcrumbWeight is the weight that was best in docs/retrieval.md.
const DefaultBreadcrumbWeight = 2

// DefaultMemory is what a build takes if it is not told.
const DefaultMemory = 256 << 20

// Stats counts what a change did.
type Stats struct {
	Passages int   `json:"passages"` // indexed
	Replaced int   `json:"replaced"` // older passages of the sources that came again
	Deleted  int   `json:"deleted"`  // passages of sources that were removed
	Bytes    int64 `json:"bytes"`    // of the indexed passages' text
}

// ErrEmpty says that there was nothing to index.
var ErrEmpty = errors.New("the corpus holds no text; nothing was indexed")

func (o *BuildOptions) setDefaults() {
	if o.Analyzer == "" {
		o.Analyzer = analysis.English
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
}

// batchBytes returns how much text a run may hold: one batch is being read, and
// each worker holds one and up to three times its size in terms and postings.
func (o *BuildOptions) batchBytes() int64 {
	return max(1<<16, o.Memory/int64(2+4*o.Workers))
}

// Writer makes one change of an index: sources that come, come again or go. The
// index is as it was until Commit returns, and after any error. Batches of passages
// are inverted by several workers, each into a run that is a segment of its own,
// and the runs merged; the order of passages, and with it every result, does not
// depend on the options' Memory and Workers.
//
// A Writer is for one goroutine, and must be closed.
type Writer struct {
	ctx      context.Context
	dir      string
	opt      BuildOptions
	m        *manifest
	before   *manifest // nil where there was no index
	existing []*segment
	old      *sourceTable
	unlock   func()
	fresh    bool // the index takes the place of what was there
	done     bool // the change was made

	source  sourceChange // whose passages are being added
	begun   bool
	changes sourceChanges
	ids     []string // of passages to be deleted
	rooted  bool     // there are other roots

	group   *errgroup.Group
	working context.Context // done when a worker fails
	next    batch
	size    int64
	ready   chan<- batch
	dict    []byte
	mu      sync.Mutex
	runs    map[int]segmentInfo
	stats   Stats
}

// batch is a run of passages that one worker inverts.
type batch struct {
	index    int
	passages []retrieve.Passage
}

// Create returns a writer of a new index in dir, which takes the place of the one
// there when it is committed.
func Create(ctx context.Context, dir string, opt BuildOptions) (*Writer, error) {
	unlock, err := lockIndex(dir)
	if err != nil {
		return nil, err
	}
	opt.setDefaults()
	w := &Writer{ctx: ctx, dir: dir, opt: opt, unlock: unlock, fresh: true, old: &sourceTable{}, m: &manifest{
		Format: formatVersion, Analyzer: opt.Analyzer, ExactLengths: opt.ExactLengths, IndexTitle: opt.IndexTitle,
		BreadcrumbWeight: opt.BreadcrumbWeight, Chunking: opt.Chunking, Overlap: opt.Overlap, Tokenizer: opt.Tokenizer,
	}}
	if old, err := readManifest(dir); err == nil {
		w.before = old
		w.m.Generation = old.Generation
	}
	removeGarbage(dir, w.before)
	w.start()
	return w, nil
}

// Append returns a writer that changes the index in dir.
func Append(ctx context.Context, dir string, opt BuildOptions) (*Writer, error) {
	if _, err := readManifest(dir); err != nil {
		return nil, err
	}
	unlock, err := lockIndex(dir)
	if err != nil {
		return nil, err
	}
	w := &Writer{ctx: ctx, dir: dir, unlock: unlock, old: &sourceTable{}}
	if w.m, err = readManifest(dir); err == nil {
		before := *w.m
		before.Segments = slices.Clone(before.Segments)
		w.before = &before
		w.existing, err = openSegments(dir, w.m.Segments, w.m.ExactLengths)
	}
	if err == nil {
		w.old, err = w.m.openSources(dir)
	}
	if err != nil {
		closeAll(w.existing)
		unlock()
		return nil, err
	}
	removeGarbage(dir, w.m)
	opt.Analyzer, opt.ExactLengths, opt.IndexTitle = w.m.Analyzer, w.m.ExactLengths, w.m.IndexTitle
	opt.BreadcrumbWeight = w.m.BreadcrumbWeight
	opt.setDefaults()
	w.opt = opt
	w.start()
	return w, nil
}

// start sets the workers to work.
func (w *Writer) start() {
	w.m.Generation++
	w.changes = sourceChanges{dir: w.dir, generation: w.m.Generation, limit: int(w.opt.Memory / 16)}
	w.group, w.working = errgroup.WithContext(w.ctx)
	ready := make(chan batch)
	w.ready = ready
	w.runs = map[int]segmentInfo{}
	for range w.opt.Workers {
		w.group.Go(func() error {
			for b := range ready {
				info, err := w.invert(b)
				if err != nil {
					return err
				}
				w.mu.Lock()
				w.runs[b.index] = info
				w.mu.Unlock()
			}
			return nil
		})
	}
}

// Find returns what the index says of the source of that name before the change;
// at is its number among them by name, from 0.
func (w *Writer) Find(name string) (at int, s Source, ok bool, err error) {
	at, found, ok, err := w.old.find(name)
	return at, found.Source, ok, err
}

// Sources returns how many sources the index had before the change.
func (w *Writer) Sources() int { return w.old.n }

// Source returns source at, by name, of those that the index had before the change.
func (w *Writer) Source(at int) (Source, error) {
	s, err := w.old.at(at)
	return s.Source, err
}

// Begin begins a source: all that the index has of it is replaced by the passages
// that are added until the next. Only what is said of its file need be set.
func (w *Writer) Begin(s Source) error {
	if err := w.end(); err != nil {
		return err
	}
	s.Passages, s.Title = 0, ""
	w.source, w.begun = sourceChange{s, listed}, true
	return nil
}

// end notes the source that was begun.
func (w *Writer) end() error {
	if !w.begun {
		return nil
	}
	w.begun = false
	return w.changes.add(w.source)
}

// Touch notes that a source's file has changed its time but not its content.
func (w *Writer) Touch(s Source) error { return w.changes.add(sourceChange{s, touched}) }

// Remove deletes a source.
func (w *Writer) Remove(name string) error {
	return w.changes.add(sourceChange{Source{Name: name}, removed})
}

// HasID reports whether the index has a passage with an id.
func (w *Writer) HasID(id string) (bool, error) {
	for _, s := range w.existing {
		has := false
		err := newDeletions(s).exactly(byID, id, func(p retrieve.Passage, k key) {
			has = has || p.ID == id && !s.isDeleted(k.start)
		})
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// RemoveID deletes the passages with an id.
func (w *Writer) RemoveID(id string) { w.ids = append(w.ids, id) }

// Add adds a passage. One of another source than was begun begins that source.
func (w *Writer) Add(p retrieve.Passage) error {
	if w.begun && w.source.Name != p.Source {
		if err := w.end(); err != nil {
			return err
		}
	}
	if !w.begun && p.Source != "" {
		w.source, w.begun = sourceChange{Source{Name: p.Source}, listed}, true
	}
	if w.begun {
		if w.source.Passages == 0 {
			w.source.Title = p.Title
		}
		w.source.Passages++
	}
	if w.stats.Passages == maxPassages {
		return fmt.Errorf("more than %d passages; make several indexes", maxPassages)
	}
	w.stats.Passages++
	w.stats.Bytes += int64(len(p.Text))
	w.size += int64(len(p.Text)+len(p.ID)+len(p.Title)) + 128
	w.next.passages = append(w.next.passages, p)
	if w.size >= w.opt.batchBytes() {
		return w.send()
	}
	if w.working.Err() != nil {
		return w.failure()
	}
	return nil
}

// send hands the batch to a worker.
func (w *Writer) send() error {
	if len(w.next.passages) == 0 {
		return nil
	}
	if w.next.index == 0 {
		w.dict = sampleDictionary(w.next.passages)
	}
	select {
	case w.ready <- w.next:
	case <-w.working.Done():
		return w.failure()
	}
	if w.opt.Progress != nil {
		w.opt.Progress(w.stats)
	}
	w.next = batch{index: w.next.index + 1}
	w.size = 0
	return nil
}

// maxPassages keeps passage numbers well inside 32 bits.
const maxPassages = 1 << 31

// invert writes the segment of one batch.
func (w *Writer) invert(b batch) (segmentInfo, error) {
	size := int64(0)
	for i := range b.passages {
		size += int64(len(b.passages[i].Text))
	}
	v, err := newInverter(&w.opt, size)
	if err != nil {
		return segmentInfo{}, err
	}
	for i := range b.passages {
		v.add(&b.passages[i])
	}
	name := fmt.Sprintf("%d-%d", w.m.Generation, b.index)
	info, err := v.write(w.dir, name, b.passages, w.dict)
	if err != nil {
		return info, diskError(w.dir, err)
	}
	return info, nil
}

// failure says why the workers stopped: a worker's error, or the caller's
// wish.
func (w *Writer) failure() error {
	if err := w.wait(); err != nil {
		return err
	}
	return w.ctx.Err()
}

// wait ends the workers and returns their first error.
func (w *Writer) wait() error {
	if w.ready != nil {
		close(w.ready)
		w.ready = nil
	}
	return w.group.Wait()
}

// Commit makes the change and closes the writer. A new index without passages is
// ErrEmpty.
func (w *Writer) Commit() (Stats, error) {
	defer w.Close()
	err := w.end()
	if err == nil {
		err = w.send()
	}
	if failed := w.wait(); failed != nil {
		err = failed // it is why the others stopped
	}
	switch {
	case err != nil:
		return w.stats, err
	case len(w.runs) == 0 && w.fresh:
		return w.stats, ErrEmpty
	case len(w.runs) == 0 && len(w.ids) == 0 && w.changes.none() && !w.rooted:
		return w.stats, nil
	}
	if err := w.write(); err != nil {
		return w.stats, diskError(w.dir, err)
	}
	w.done = true
	return w.stats, nil
}

// write writes the files of the change and commits them.
func (w *Writer) write() error {
	if err := w.applySources(); err != nil {
		return err
	}
	if len(w.runs) > 0 {
		info, err := w.mergeRuns()
		if err != nil {
			return err
		}
		w.m.Segments = append(w.m.Segments, info)
	}
	if err := w.joinSmall(); err != nil {
		return err
	}
	return w.m.commit(w.dir)
}

// applySources writes the new list of sources and marks the passages that go.
func (w *Writer) applySources() error {
	doomed := make([]*deletions, len(w.existing))
	for i, s := range w.existing {
		doomed[i] = newDeletions(s)
	}
	for _, d := range doomed {
		for _, id := range w.ids {
			sources, err := d.addID(id)
			if err != nil {
				return err
			}
			for _, source := range sources {
				if err := w.changes.add(sourceChange{Source{Name: source, Passages: 1}, touched}); err != nil {
					return err
				}
			}
		}
		w.stats.Deleted += d.n
	}
	name := fmt.Sprintf("%d%s", w.m.Generation, extSources)
	sum, err := w.changes.apply(w.old, filepath.Join(w.dir, name), func(s sourceChange) error {
		count := &w.stats.Replaced
		if s.what == removed {
			count = &w.stats.Deleted
		}
		for _, d := range doomed {
			before := d.n
			if err := d.addSource(s.Name); err != nil {
				return err
			}
			*count += d.n - before
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.m.Sources, w.m.SourcesSum = name, sum
	for i, d := range doomed {
		if err := d.write(w.dir, w.m.Generation, &w.m.Segments[i]); err != nil {
			return err
		}
	}
	return nil
}

// mergeRuns returns the segment of all that was added.
func (w *Writer) mergeRuns() (segmentInfo, error) {
	runs := make([]segmentInfo, len(w.runs))
	for i := range runs {
		runs[i] = w.runs[i]
	}
	if len(runs) == 1 {
		return runs[0], nil
	}
	debug.FreeOSMemory() // what the runs took makes room for the files that the merge maps
	return mergeInfos(w.ctx, w.dir, strconv.FormatUint(w.m.Generation, 10), runs, w.opt.ExactLengths)
}

// Close ends a writer. What was not committed leaves no trace: no files, and no
// directory that was not there.
func (w *Writer) Close() error {
	if w.unlock == nil {
		return nil
	}
	w.wait()
	w.changes.close()
	closeAll(w.existing)
	w.old.close()
	if w.done {
		removeGarbage(w.dir, w.m)
	} else {
		removeGarbage(w.dir, w.before)
	}
	w.unlock()
	w.unlock = nil
	return nil
}

// dictReader returns a reader of the segment's dictionary.
func (s *segment) dictReader() (*vellum.Reader, error) {
	r, err := s.dict.Reader()
	if err != nil {
		return nil, damagedf(s.terms.path, "%v", err)
	}
	return r, nil
}
