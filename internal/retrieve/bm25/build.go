package bm25

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"

	"github.com/blevesearch/vellum"
	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// BuildOptions says how an index is made. Add takes all but Memory, Workers and
// Progress from the index.
type BuildOptions struct {
	Analyzer     string // analysis.English if empty
	ExactLengths bool   // score by exact lengths rather than Lucene's one byte
	IndexTitle   bool   // a passage is found by its title too
	Memory       int64  // bytes that the build may take, about; DefaultMemory if 0
	Workers      int    // all processors if 0
	// What the passages were cut with, kept for those who read the index.
	Chunking  string
	Overlap   int
	Tokenizer string // digest
	// Progress, if not nil, hears of every batch that was taken up.
	Progress func(Stats)
}

// DefaultMemory is what a build takes if it is not told.
const DefaultMemory = 256 << 20

// Stats counts what a build did.
type Stats struct {
	Passages   int   // indexed
	Duplicates int   // left out: title and text were there already
	Replaced   int   // older passages with the id of a new one
	Bytes      int64 // of the indexed passages' text
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

// Build makes the index of passages in dir, in place of the one there. The order
// of passages, and with it every result, does not depend on the options'
// Memory and Workers.
func Build(ctx context.Context, dir string, passages iter.Seq2[retrieve.Passage, error], opt BuildOptions) (Stats, error) {
	opt.setDefaults()
	lock, err := lockIndex(dir)
	if err != nil {
		return Stats{}, err
	}
	defer lock.Unlock()
	old, err := readManifest(dir)
	m := &manifest{
		Format: formatVersion, Analyzer: opt.Analyzer, ExactLengths: opt.ExactLengths, IndexTitle: opt.IndexTitle,
		Chunking: opt.Chunking, Overlap: opt.Overlap, Tokenizer: opt.Tokenizer,
	}
	if err == nil {
		m.Generation = old.Generation
	}
	stats, err := writePassages(ctx, dir, m, nil, passages, opt)
	if err != nil {
		removeGarbage(dir, old)
		return stats, err
	}
	removeGarbage(dir, m)
	return stats, nil
}

// writePassages adds one segment with the passages to m, whose segments so far
// are open in existing, and commits it.
func writePassages(ctx context.Context, dir string, m *manifest, existing []*segment, passages iter.Seq2[retrieve.Passage, error], opt BuildOptions) (Stats, error) {
	m.Generation++
	b := &builder{dir: dir, opt: opt, generation: m.Generation, existing: existing,
		seen: contentSet{dir: dir, generation: m.Generation, limit: int(opt.Memory / 64)}}
	runs, err := b.runs(ctx, passages)
	b.seen.close()
	if err != nil {
		return b.stats, err
	}
	if len(runs) == 0 {
		return b.stats, ErrEmpty
	}
	info := runs[0]
	if len(runs) > 1 {
		debug.FreeOSMemory() // what the runs took makes room for the files that the merge maps
		if info, err = mergeInfos(ctx, dir, fmt.Sprint(m.Generation), runs, opt.ExactLengths); err != nil {
			return b.stats, diskError(dir, err)
		}
	}
	if err := b.replaceOlder(m, info); err != nil {
		return b.stats, diskError(dir, err)
	}
	m.Segments = append(m.Segments, info)
	if err := m.commit(dir); err != nil {
		return b.stats, diskError(dir, err)
	}
	return b.stats, nil
}

// builder turns passages into runs, each a segment of its own.
type builder struct {
	dir        string
	opt        BuildOptions
	generation uint64
	existing   []*segment
	seen       contentSet
	dict       []byte
	stats      Stats
}

// batch is a run of passages that one worker inverts.
type batch struct {
	index    int
	passages []retrieve.Passage
}

// runs reads all passages and returns the segments of their runs in order.
func (b *builder) runs(ctx context.Context, passages iter.Seq2[retrieve.Passage, error]) ([]segmentInfo, error) {
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan batch)
	results := make(chan struct {
		index int
		info  segmentInfo
	})
	for range b.opt.Workers {
		group.Go(func() error {
			for t := range batches {
				info, err := b.invert(t)
				if err != nil {
					return err
				}
				select {
				case results <- struct {
					index int
					info  segmentInfo
				}{t.index, info}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(batches)
		return b.read(ctx, passages, batches)
	})
	byIndex := map[int]segmentInfo{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r := range results {
			byIndex[r.index] = r.info
		}
	}()
	err := group.Wait()
	close(results)
	<-done
	infos := make([]segmentInfo, len(byIndex))
	if err == nil {
		for i := range infos {
			infos[i] = byIndex[i]
		}
	}
	return infos, err
}

// read gathers batches and leaves out duplicates.
func (b *builder) read(ctx context.Context, passages iter.Seq2[retrieve.Passage, error], batches chan<- batch) error {
	var next batch
	var size int64
	limit := b.opt.batchBytes()
	send := func() error {
		if len(next.passages) == 0 {
			return nil
		}
		if next.index == 0 {
			b.dict = sampleDictionary(next.passages)
		}
		select {
		case batches <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.opt.Progress != nil {
			b.opt.Progress(b.stats)
		}
		next = batch{index: next.index + 1}
		size = 0
		return nil
	}
	for p, err := range passages {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		dup, err := b.duplicate(&p)
		if err != nil {
			return err
		}
		if dup {
			b.stats.Duplicates++
			continue
		}
		if b.stats.Passages == maxPassages {
			return fmt.Errorf("more than %d passages; make several indexes", maxPassages)
		}
		b.stats.Passages++
		b.stats.Bytes += int64(len(p.Text))
		size += int64(len(p.Text)+len(p.ID)+len(p.Title)) + 128
		next.passages = append(next.passages, p)
		if size >= limit {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// maxPassages keeps passage numbers well inside 32 bits.
const maxPassages = 1 << 31

// invert writes the segment of one batch.
func (b *builder) invert(t batch) (segmentInfo, error) {
	size := int64(0)
	for i := range t.passages {
		size += int64(len(t.passages[i].Text))
	}
	v, err := newInverter(&b.opt, size)
	if err != nil {
		return segmentInfo{}, err
	}
	for i := range t.passages {
		v.add(&t.passages[i])
	}
	name := fmt.Sprintf("%d-%d", b.generation, t.index)
	info, err := v.write(b.dir, name, t.passages, b.dict)
	if err != nil {
		return info, diskError(b.dir, err)
	}
	return info, nil
}

// duplicate reports whether a passage like p is in the index, and notes p.
func (b *builder) duplicate(p *retrieve.Passage) (bool, error) {
	hash := contentHash(p)
	fresh, err := b.seen.add(hash)
	if err != nil || !fresh {
		return true, err
	}
	for _, s := range b.existing {
		found, err := s.keys.find(nil, byContent, hash)
		if err != nil {
			return false, err
		}
		for _, k := range found {
			if !s.isDeleted(k.start) {
				return true, nil
			}
		}
	}
	return false, nil
}

// replaceOlder marks as deleted the older passages whose ids the new segment
// has too.
func (b *builder) replaceOlder(m *manifest, info segmentInfo) error {
	if len(b.existing) == 0 {
		return nil
	}
	added, err := openSegment(b.dir, info, b.opt.ExactLengths)
	if err != nil {
		return err
	}
	defer added.close()
	for i, s := range b.existing {
		doomed := newDeletions(s)
		for j := range added.keys.len(byID) {
			k, err := added.keys.at(byID, j)
			if err != nil {
				return err
			}
			if err := doomed.add(byID, k.hash); err != nil {
				return err
			}
		}
		n, err := doomed.write(b.dir, m.Generation, &m.Segments[i])
		if err != nil {
			return err
		}
		b.stats.Replaced += n
	}
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
