package bm25

import (
	"bytes"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// inverter turns a run of passages into the postings of a segment, in memory.
type inverter struct {
	analyzer *analysis.Analyzer
	exact    bool
	title    bool   // titles are indexed with the text
	crumb    uint32 // how many times terms of title and heading count, if not 0

	surface surfaceTable      // token → term, or stopWord, or group and manyTerms
	groups  [][]uint32        // terms of the tokens that have several
	ids     map[string]uint32 // term → its number
	terms   [][]byte
	arena   []byte
	uses    []termUse // of each term

	stream  []occurrence // passage after passage
	bounds  []int        // where each passage's occurrences end
	lengths []uint32
	total   uint64
}

// termUse says how many passages have a term, and where in the stream the last of
// them has it, plus one.
type termUse struct{ passages, last uint32 }

// occurrence is a term's frequency in one passage.
type occurrence struct{ term, tf uint32 }

const (
	stopWord     = ^uint32(0)
	manyTerms    = uint32(1) << 31 // flag of a group's number
	bytesPerTerm = 9               // of text, for each different term of a passage; English has more
)

// newInverter returns an inverter for about size bytes of text.
func newInverter(opt *BuildOptions, size int64) (*inverter, error) {
	a, err := analysis.New(opt.Analyzer)
	if err != nil {
		return nil, err
	}
	return &inverter{analyzer: a, exact: opt.ExactLengths, title: opt.IndexTitle, crumb: uint32(opt.BreadcrumbWeight),
		surface: newSurfaceTable(), ids: map[string]uint32{},
		stream: make([]occurrence, 0, size/bytesPerTerm)}, nil
}

// add analyses one passage.
func (v *inverter) add(p *retrieve.Passage) {
	start := len(v.stream)
	length := uint32(0)
	switch {
	case v.crumb > 0:
		// BM25F in its simple form: frequencies of the fields are added by weight, and
		// so are their lengths, before BM25 bends them.
		length += v.count(p.Title, start, v.crumb)
		length += v.count(p.Heading, start, v.crumb)
	case v.title:
		length += v.count(p.Title, start, 1)
	}
	length += v.count(p.Text, start, 1)
	v.bounds = append(v.bounds, len(v.stream))
	v.lengths = append(v.lengths, length)
	v.total += uint64(length)
}

// count adds the terms of a text, each weight times, to the passage whose occurrences
// begin at start.
func (v *inverter) count(text string, start int, weight uint32) (length uint32) {
	v.analyzer.Reset(text)
	for {
		from, to, ok := v.analyzer.Token()
		if !ok {
			return length
		}
		term := v.term(text, from, to)
		switch {
		case term == stopWord:
		case term&manyTerms != 0:
			group := v.groups[term&^manyTerms]
			length += weight * uint32(len(group))
			for _, term := range group {
				v.use(term, start, weight)
			}
		default:
			length += weight
			v.use(term, start, weight)
		}
	}
}

// use adds weight occurrences of a term to the passage whose occurrences begin at
// start.
func (v *inverter) use(term uint32, start int, weight uint32) {
	use := &v.uses[term]
	if at := int(use.last); at > start {
		v.stream[at-1].tf += weight
		return
	}
	v.stream = append(v.stream, occurrence{term, weight})
	use.last = uint32(len(v.stream))
	use.passages++
}

// term returns what the surface table holds of text[from:to].
func (v *inverter) term(text string, from, to int) uint32 {
	if to-from > surfaceShort {
		term, known := v.surface.long[text[from:to]]
		if !known {
			term = v.tokenTerms(text[from:to])
			v.surface.long[strings.Clone(text[from:to])] = term
		}
		return term
	}
	low, high := packToken(text, from, to)
	slot := v.surface.find(low, high)
	if slot.high != 0 {
		return slot.term
	}
	term := v.tokenTerms(text[from:to])
	v.surface.add(low, high, term)
	return term
}

// tokenTerms returns what the surface table is to hold of a token.
func (v *inverter) tokenTerms(token string) uint32 {
	terms := v.analyzer.Terms(token)
	switch len(terms) {
	case 0:
		return stopWord
	case 1:
		return v.intern(terms[0].Text)
	}
	group := make([]uint32, len(terms))
	for i, t := range terms {
		group[i] = v.intern(t.Text)
	}
	v.groups = append(v.groups, group)
	return uint32(len(v.groups)-1) | manyTerms
}

// intern returns the number of a term.
func (v *inverter) intern(term []byte) uint32 {
	id, ok := v.ids[string(term)]
	if !ok {
		id = uint32(len(v.terms))
		at := len(v.arena)
		v.arena = append(v.arena, term...)
		v.terms = append(v.terms, v.arena[at:len(v.arena):len(v.arena)])
		v.ids[string(term)] = id
		v.uses = append(v.uses, termUse{})
	}
	return id
}

// write makes the segment of the run.
func (v *inverter) write(dir, name string, passages []retrieve.Passage, dict []byte) (info segmentInfo, err error) {
	w, err := newSegmentWriter(dir, name, v.exact, dict)
	if err != nil {
		return info, err
	}
	defer func() {
		if err != nil {
			w.abandon()
		}
	}()
	for i := range passages {
		if err = w.stored.add(&passages[i]); err != nil {
			return info, err
		}
	}
	if err = w.finishPassages(); err != nil {
		return info, err
	}
	table := v.codeTable()
	if err = w.writeLengths(table, slices.Values(v.lengths)); err != nil {
		return info, err
	}
	if err = v.writeTerms(w, table); err != nil {
		return info, err
	}
	if err = w.startKeys(); err != nil {
		return info, err
	}
	for kind, entries := range keysOf(passages) {
		for _, k := range entries {
			if err = w.keys.add(keyKind(kind), k); err != nil {
				return info, err
			}
		}
	}
	for i := range passages {
		if err = w.keys.addContent(contentHash(&passages[i])); err != nil {
			return info, err
		}
	}
	if err = w.finishKeys(); err != nil {
		return info, err
	}
	w.info.Terms = v.total
	for _, n := range v.lengths {
		if n > 0 {
			w.info.WithTerms++
		}
	}
	return w.info, nil
}

// scored returns a length as it is scored.
func (v *inverter) scored(length uint32) uint32 {
	if v.exact {
		return length
	}
	return decodeLength(encodeLength(length))
}

func (v *inverter) codeTable() *codeTable {
	counts := map[pair]uint64{}
	start := 0
	for doc, end := range v.bounds {
		length := v.scored(v.lengths[doc])
		var few [16]uint64 // nearly all frequencies are small
		for _, o := range v.stream[start:end] {
			if o.tf < uint32(len(few)) {
				few[o.tf]++
			} else {
				counts[pair{o.tf, length}]++
			}
		}
		for tf, n := range few {
			if n > 0 {
				counts[pair{uint32(tf), length}] += n
			}
		}
		start = end
	}
	return newCodeTable(counts)
}

// writeTerms sorts the occurrences by term, which keeps passages ascending, and
// writes the terms in order.
func (v *inverter) writeTerms(w *segmentWriter, table *codeTable) error {
	type posting struct{ doc, tf uint32 }
	starts := make([]int, len(v.terms)+1)
	for t, use := range v.uses {
		starts[t+1] = starts[t] + int(use.passages)
	}
	sorted := make([]posting, len(v.stream))
	next := slices.Clone(starts)
	start := 0
	for doc, end := range v.bounds {
		for _, o := range v.stream[start:end] {
			sorted[next[o.term]] = posting{uint32(doc), o.tf}
			next[o.term]++
		}
		start = end
	}
	order := make([]uint32, len(v.terms))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(v.terms[a], v.terms[b]) })
	if err := w.startTerms(table); err != nil {
		return err
	}
	for _, t := range order {
		for _, p := range sorted[starts[t]:starts[t+1]] {
			w.postings.add(p.doc, pair{p.tf, v.scored(v.lengths[p.doc])})
		}
		if err := w.endTerm(v.terms[t]); err != nil {
			return err
		}
	}
	return w.finishTerms()
}
