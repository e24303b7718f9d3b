package bm25

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/blevesearch/vellum"
	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// searcher holds what one search at a time needs, so that searching does not
// allocate.
//
// Scores are summed as integers of a scale that the query's weights and the
// whole collection's counts determine. Their sum does not depend on the order of
// addition, so every way of traversing, and every division of the passages into
// segments, gives the same scores to the bit.
type searcher struct {
	index    *Index
	analyzer *analysis.Analyzer
	readers  []*vellum.Reader // a segment

	words   []queryTerm
	byHash  map[uint64]int32
	scale   float64
	lists   []postings // a segment's, in the order of words
	cursors []cursor   // of the present segment
	ranges  []docRange // of the present segment, excluded
	found   []key
	acc     []uint32
	bounds  bounds
	alive   []uint32 // passages of a window that may still be among the best
	top     topK
	stats   SearchStats
}

// queryTerm is a term of the query.
type queryTerm struct {
	weight float32 // idf times how often the query has it
	count  uint32
	df     uint64
	lists  int // where its postings stand in searcher.lists, one a segment; blocks is 0 where it is missing
}

// docRange is a run of passages, end not included.
type docRange struct{ start, end uint32 }

func newSearcher(x *Index) *searcher {
	analyzer, _ := analysis.New(x.manifest.Analyzer) // Open has checked the name
	return &searcher{index: x, analyzer: analyzer, byHash: map[uint64]int32{}}
}

// search appends the best passages to dst.
func (s *searcher) search(q retrieve.Query, dst []Hit) ([]Hit, SearchStats, error) {
	s.stats = SearchStats{}
	if q.K <= 0 || len(s.index.segments) == 0 {
		return dst, s.stats, nil
	}
	if err := s.readTerms(q.Text); err != nil {
		return dst, s.stats, err
	}
	if len(s.words) == 0 {
		return dst, s.stats, nil
	}
	s.weigh()
	s.top.reset(q.K)
	for i, seg := range s.index.segments {
		if err := s.exclude(seg, q); err != nil {
			return dst, s.stats, err
		}
		if err := s.searchSegment(i, seg); err != nil {
			return dst, s.stats, err
		}
	}
	for _, h := range s.top.sorted() {
		dst = append(dst, Hit{Doc: h.doc(), Score: float64(float32(float64(h.score()) / s.scale))})
	}
	return dst, s.stats, nil
}

// readTerms analyses the query and looks its terms up in every segment. Incidental
// terms count only where the index has no others of the query.
func (s *searcher) readTerms(text string) error {
	if err := s.readSomeTerms(text, false); err != nil || len(s.words) > 0 {
		return err
	}
	return s.readSomeTerms(text, true)
}

// readSomeTerms is readTerms with or without incidental terms.
func (s *searcher) readSomeTerms(text string, incidental bool) error {
	s.words, s.lists = s.words[:0], s.lists[:0]
	clear(s.byHash)
	for s.readers == nil || len(s.readers) < len(s.index.segments) {
		r, err := s.index.segments[len(s.readers)].dictReader()
		if err != nil {
			return err
		}
		s.readers = append(s.readers, r)
	}
	s.analyzer.Reset(text)
	for {
		term, ok := s.analyzer.Next()
		if !ok {
			return nil
		}
		if !incidental && s.analyzer.Incidental(term) {
			continue
		}
		hash := xxhash.Sum64(term)
		if i, ok := s.byHash[hash]; ok {
			if i >= 0 {
				s.words[i].count++
			}
			continue
		}
		w := queryTerm{count: 1, lists: len(s.lists)}
		for i, seg := range s.index.segments {
			s.lists = append(s.lists, postings{})
			l := &s.lists[len(s.lists)-1]
			if _, err := seg.lookup(term, s.readers[i], l); err != nil {
				return err
			}
			w.df += l.df
		}
		if w.df == 0 {
			s.byHash[hash] = -1
			s.lists = s.lists[:w.lists]
			continue
		}
		s.byHash[hash] = int32(len(s.words))
		s.words = append(s.words, w)
		s.stats.Postings += w.df
	}
}

// weigh sets the terms' weights and the scale of the sums, and puts the rarest
// terms first.
func (s *searcher) weigh() {
	slices.SortFunc(s.words, func(a, b queryTerm) int { return cmp.Compare(a.df, b.df) })
	s.stats.Terms = len(s.words)
	bound := 0.0
	for i := range s.words {
		w := &s.words[i]
		w.weight = float32(w.count) * s.index.collection.idf(w.df)
		bound += float64(w.weight)
	}
	// A term adds less than its weight, so sums stay below 2³⁰ plus rounding.
	_, exp := math.Frexp(bound)
	s.scale = math.Ldexp(1, 30-exp)
}

// fixed is a term's weight times a similarity's unit, in the query's scale.
func fixed(scaledWeight float64, unit float32) uint32 {
	return uint32(int64(scaledWeight*float64(unit) + 0.5))
}

// exclude gathers the segment's passages that the query excludes. Names are
// compared by their 64-bit hashes.
func (s *searcher) exclude(seg *segment, q retrieve.Query) error {
	s.ranges = s.ranges[:0]
	gather := func(kind keyKind, names []string) (err error) {
		for _, name := range names {
			if kind != byTitle {
				name = strings.TrimPrefix(name, seg.named)
			}
			if s.found, err = seg.keys.find(s.found[:0], kind, xxhash.Sum64String(name)); err != nil {
				return err
			}
			for _, k := range s.found {
				s.ranges = append(s.ranges, docRange{k.start, k.end})
			}
		}
		return nil
	}
	if err := gather(byID, q.ExcludeIDs); err != nil {
		return err
	}
	if err := gather(byTitle, q.ExcludeTitles); err != nil {
		return err
	}
	if err := gather(bySource, q.ExcludeSources); err != nil {
		return err
	}
	slices.SortFunc(s.ranges, func(a, b docRange) int { return int(int64(a.start) - int64(b.start)) })
	// Ranges of different kinds may overlap; make the ends ascend for the search.
	for i := 1; i < len(s.ranges); i++ {
		s.ranges[i].end = max(s.ranges[i].end, s.ranges[i-1].end)
	}
	return nil
}

// wanted reports whether a passage may be returned.
func (s *searcher) wanted(seg *segment, doc uint32) bool {
	if seg.isDeleted(doc) {
		return false
	}
	if len(s.ranges) == 0 {
		return true
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].start > doc })
	return i == 0 || s.ranges[i-1].end <= doc
}
