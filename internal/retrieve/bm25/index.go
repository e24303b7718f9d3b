// Package bm25 is an on-disk index with Lucene's BM25.
//
// An index is a directory: a manifest, and segments of five files that never
// change (see segment.go). Building and adding write new segments, deleting
// writes a bit map beside one, compacting joins them; each ends with the
// manifest's replacement by rename, so that a reader or a crash sees the index
// before or after a change.
package bm25

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// Options are chosen when an index is opened; both zero mean the defaults.
type Options struct {
	K1, B float64
}

// Index is an open index. It is safe for use by many goroutines and shows the
// state that it was opened in.
type Index struct {
	dir        string
	manifest   *manifest
	segments   []*segment
	sources    *sourceTable
	bases      []uint32 // number of each segment's first passage
	collection collection
	similarity similarity
	blockUnits [boundTFs][256]float32 // what no posting of a block with these bounds exceeds at weight 1
	denseLimit uint32                 // see search.go
	window     uint32                 // see maxscore.go
	searchers  sync.Pool
	cache      *passageCache
}

var _ retrieve.Retriever = (*Index)(nil)

// Open opens the index in dir.
func Open(dir string, opt Options) (*Index, error) {
	x := newIndex(dir)
	for attempt := 0; ; attempt++ {
		m, err := readManifest(dir)
		if err != nil {
			return nil, err
		}
		x.segments, err = openSegments(dir, m.Segments, m.ExactLengths)
		if err == nil {
			if x.sources, err = m.openSources(dir); err == nil {
				x.manifest = m
				break
			}
			closeAll(x.segments)
		}
		// A writer may have replaced the manifest and removed a file meanwhile.
		if now, again := readManifest(dir); again != nil || now.Generation == m.Generation || attempt == 9 {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	_, err := analysis.New(x.manifest.Analyzer)
	if err == nil {
		for _, s := range x.segments {
			s.breadcrumb = x.manifest.BreadcrumbWeight > 0
		}
		err = x.bind(opt)
	}
	if err != nil {
		x.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return x, nil
}

// newIndex returns an index that has yet to get its segments.
func newIndex(dir string) *Index {
	return &Index{dir: dir, denseLimit: denseLimit, window: defaultWindow, cache: newPassageCache(cachedPassages)}
}

// bind numbers the passages of the segments and lets them score as one collection.
func (x *Index) bind(opt Options) error {
	if opt == (Options{}) {
		opt = Options{DefaultK1, DefaultB}
	}
	if !(opt.K1 >= 0 && opt.K1 < 1e6) || !(opt.B >= 0 && opt.B <= 1) {
		return fmt.Errorf("k1 is %g and b %g; k1 must not be negative, b must lie between 0 and 1", opt.K1, opt.B)
	}
	base := uint64(0)
	for _, s := range x.segments {
		x.bases = append(x.bases, uint32(base))
		base += uint64(s.docs)
		x.collection.docs += uint64(s.info.WithTerms)
		x.collection.terms += s.info.Terms
	}
	if base > maxPassages {
		return damagedf(manifestName, "%d passages in all", base)
	}
	x.similarity = x.collection.similarity(opt.K1, opt.B)
	x.setUnits()
	x.searchers.New = func() any { return newSearcher(x) }
	return nil
}

// boundTFs is how many term frequencies blockUnits tells apart.
const boundTFs = 16

// setUnits works the similarity out for all that postings and bounds can say.
func (x *Index) setUnits() {
	for _, s := range x.segments {
		for code, p := range s.table.pairs {
			if p.tf > 0 {
				s.units[code] = x.similarity.unit(p.tf, p.length)
			}
		}
	}
	for tf := range x.blockUnits {
		for length := range x.blockUnits[tf] {
			unit := float32(1) // for the largest tf and all above
			if tf < boundTFs-1 {
				unit = x.similarity.unit(uint32(tf), decodeLength(byte(length)))
			}
			x.blockUnits[tf][length] = unit
		}
	}
}

// Close gives the index's files back. No search may be under way.
func (x *Index) Close() error {
	var errs []error
	for _, s := range x.segments {
		s.stored.close()
		for _, f := range s.files {
			errs = append(errs, f.close())
		}
	}
	errs = append(errs, x.sources.file.close())
	return errors.Join(errs...)
}

// Info tells what an index holds and how it was made.
type Info struct {
	Generation   uint64 `json:"generation"` // counts the changes
	Passages     int    `json:"passages"`   // without the deleted ones
	Deleted      int    `json:"deleted"`    // counted until the index is compacted
	Sources      int    `json:"sources"`
	Segments     int    `json:"segments"`
	Analyzer     string `json:"analyzer"`
	ExactLengths bool   `json:"exact_lengths"`
	IndexTitle   bool   `json:"index_title"`
	// BreadcrumbWeight is how many times the terms of titles and headings count; 0: the
	// paper's passages.
	BreadcrumbWeight int    `json:"breadcrumb_weight"`
	Chunking         string `json:"chunking"`
	Overlap          int    `json:"overlap"`
	Tokenizer        string `json:"tokenizer"` // digest of the tokenizer that cut the passages, or empty
}

// Info describes the index.
func (x *Index) Info() Info {
	m := x.manifest
	info := Info{Generation: m.Generation, Sources: x.sources.n, Segments: len(x.segments), Analyzer: m.Analyzer, ExactLengths: m.ExactLengths, IndexTitle: m.IndexTitle,
		BreadcrumbWeight: m.BreadcrumbWeight, Chunking: m.Chunking, Overlap: m.Overlap, Tokenizer: m.Tokenizer}
	for _, s := range x.segments {
		info.Passages += int(s.docs - s.info.DeletedCount)
		info.Deleted += int(s.info.DeletedCount)
	}
	return info
}

// Size returns the bytes of all files that the manifest names.
func (x *Index) Size() int64 {
	size := x.manifest.SourcesSum.Size
	for _, s := range x.manifest.Segments {
		size += s.DeletedSum.Size
		for _, f := range s.Files {
			size += f.Size
		}
	}
	return size
}

// Digest identifies the state of the index: the manifest names all its files with
// their checksums.
func (x *Index) Digest() string { return hex.EncodeToString(x.manifest.digest[:8]) }

// Retrieve implements retrieve.Retriever.
func (x *Index) Retrieve(ctx context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := x.searchers.Get().(*searcher)
	defer x.searchers.Put(s)
	hits, _, err := s.search(q, nil)
	if err != nil {
		return nil, err
	}
	passages := make([]retrieve.Passage, 0, len(hits))
	for _, h := range hits {
		p, err := x.Passage(h.Doc)
		if err != nil {
			return nil, err
		}
		p.Score = h.Score
		passages = append(passages, p)
	}
	return passages, nil
}

// Hit is a passage's number in the index and its score.
type Hit struct {
	Doc   uint32
	Score float64
}

// SearchStats tells what a search had to do.
type SearchStats struct {
	Terms    int    // different terms of the query that the index has
	Postings uint64 // of those terms
	Decoded  uint64 // of them, what was looked at
}

// Search appends the query's best passages to dst, best first; equal scores are
// in the passages' order. It allocates nothing once it is warm.
func (x *Index) Search(q retrieve.Query, dst []Hit) ([]Hit, SearchStats, error) {
	s := x.searchers.Get().(*searcher)
	hits, stats, err := s.search(q, dst)
	x.searchers.Put(s)
	return hits, stats, err
}

// Passage returns a passage by its number, without a score.
func (x *Index) Passage(doc uint32) (retrieve.Passage, error) {
	if p, ok := x.cache.get(doc); ok {
		return p, nil
	}
	i, err := x.segmentOf(doc)
	if err != nil {
		return retrieve.Passage{}, err
	}
	seg := x.segments[i]
	p, err := seg.stored.passage(doc - x.bases[i])
	p.Breadcrumb = seg.breadcrumb
	p.ID, p.Source = seg.named+p.ID, seg.named+p.Source
	if err == nil {
		x.cache.put(doc, p)
	}
	return p, err
}

// segmentOf returns the number of the segment that holds a passage.
func (x *Index) segmentOf(doc uint32) (int, error) {
	i := len(x.bases) - 1
	for i > 0 && x.bases[i] > doc {
		i--
	}
	if i < 0 || doc-x.bases[i] >= x.segments[i].docs {
		return 0, fmt.Errorf("the index has no passage %d: %w", doc, fs.ErrNotExist)
	}
	return i, nil
}

// content returns the hash of what a reader sees of a passage.
func (x *Index) content(doc uint32) (uint64, error) {
	i, err := x.segmentOf(doc)
	if err != nil {
		return 0, err
	}
	return x.segments[i].keys.content(doc - x.bases[i])
}

// alike reports whether two passages have the same content.
func (x *Index) alike(a, b uint32) (bool, error) {
	one, err := x.content(a)
	if err != nil {
		return false, err
	}
	other, err := x.content(b)
	return one == other, err
}
