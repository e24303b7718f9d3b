package flashback

import (
	"cmp"
	"context"
	"slices"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// What makes a passage a source, and an answer one from the documents; how they were
// chosen, and how often they are right, is in docs/asking.md.
const (
	// SourceNats is how much less probable an answer must be without a passage, in nats
	// of all its tokens, for the passage to be one of its sources.
	SourceNats = 2
	// SentenceNats is the same for a sentence of it.
	SentenceNats = 1
	// Covered is the share of the question that a passage in sight must speak of, each
	// word weighed by how rare it is, for the answer to be in the documents.
	Covered = 0.5
)

// Provenance says what an answer is from.
type Provenance struct {
	// Found tells that the answer is from the documents: at least one passage mattered
	// to it, and one in sight speaks of enough of what was asked.
	Found bool `json:"found"`
	// Sources are the passages that mattered, in the order of the sentences that they
	// mattered to: the first is number 1.
	Sources []Source `json:"sources"`
	// Unused are those that were in sight and did not matter.
	Unused []Source `json:"unused,omitempty"`
	// Sentences are the answer's, in order and together all of it.
	Sentences []Sentence `json:"sentences"`
	// Strides are the answer's too, with what each passage gave to each of them.
	Strides []StrideNats `json:"by_stride,omitempty"`
}

// StrideNats says what passages gave to the tokens of one stride.
type StrideNats struct {
	Stride int `json:"stride"` // its Index
	// Nats is how much less probable the tokens are without each of the stride's passages.
	Nats []float64 `json:"nats"`
}

// Source is a passage that was in sight while an answer was written.
type Source struct {
	Number int `json:"number,omitempty"` // 0 where it did not matter
	Passage
	// Path is the file that it is of, absolute; "" where that is not known.
	Path string `json:"path,omitempty"`
	// Nats is how much less probable the answer is without it.
	Nats float64 `json:"nats"`
	// Covered is the share of the question that it speaks of, from 0 to 1; -1: the
	// retriever cannot tell.
	Covered float64 `json:"covered"`
}

// Sentence is a part of an answer.
type Sentence struct {
	Text    string `json:"text"`    // with the blanks before it
	Sources []int  `json:"sources"` // numbers of those that mattered to it, the one that did most first
}

// Provenance finds out what the last answer is from: its tokens are scored again
// without each of the passages that they were written in sight of. It takes about as
// long as reading the turn again once for each passage, and changes nothing of the
// conversation.
func (c *Chat) Provenance(ctx context.Context) (Provenance, error) {
	weighed, err := ralm.Weigh(ctx, func() ralm.Scored { return c.sequence.fork() }, c.e.tokenizer, &c.last.trace, c.last.options)
	if err != nil {
		return Provenance{}, err
	}
	text := c.last.trace.Text()
	a := attribution{number: map[Passage]int{}}
	for start, end := range corpus.Sentences(text) {
		a.sentences = append(a.sentences, span{start, end})
	}
	at := 0 // of a token in the text, in bytes
	for _, in := range weighed {
		starts := make([]int, len(in.Tokens))
		for i := range in.Tokens {
			starts[i] = at
			at += len(c.e.tokenizer.Decode(in.Tokens[i : i+1]))
		}
		for i, p := range in.Passages {
			a.add(p, starts, in.Lost[i])
		}
	}
	p, err := a.provenance(text, func(p Passage) (path string, covered float64, err error) {
		covered = -1
		if r, ok := c.last.from.(retrieve.Coverer); ok {
			covered, err = r.Covered(c.last.asked, p)
		}
		return c.e.file(p.Source), covered, err
	})
	p.Strides = byStride(c.last.trace.Strides, weighed)
	return p, err
}

// byStride adds up what the tokens of each stride lose.
func byStride(strides []ralm.TracedStride, weighed []ralm.Influence) []StrideNats {
	var all []StrideNats
	for _, in := range weighed {
		begin := 0 // of a stride's tokens among those that were weighed
		for _, s := range strides[len(all):][:in.Strides] {
			end := min(begin+len(s.Tokens), len(in.Tokens)) // one that ended the text is not weighed
			nats := make([]float64, len(in.Passages))
			for i, lost := range in.Lost {
				for _, n := range lost[min(begin, len(lost)):min(end, len(lost))] {
					nats[i] += n
				}
			}
			all = append(all, StrideNats{s.Index, nats})
			begin = end
		}
	}
	return all
}

// attribution gathers what passages did for the sentences of an answer.
type attribution struct {
	sentences []span
	passages  []Passage       // that were in sight, with the first score of each
	number    map[Passage]int // in passages, without the score
	nats      [][]float64     // [passages][sentences]
}

type span struct{ start, end int }

// add adds what tokens, which start at these bytes, lose without a passage.
func (a *attribution) add(p Passage, starts []int, lost []float64) {
	key := p
	key.Score = 0
	n, seen := a.number[key]
	if !seen {
		n = len(a.passages)
		a.number[key] = n
		a.passages = append(a.passages, p)
		a.nats = append(a.nats, make([]float64, len(a.sentences)))
	}
	for i, nats := range lost {
		at := slices.IndexFunc(a.sentences, func(s span) bool { return starts[i] < s.end })
		if at >= 0 { // else behind a stop string
			a.nats[n][at] += nats
		}
	}
}

// provenance tells sources from what was only in sight, and numbers them.
func (a *attribution) provenance(text string, look func(Passage) (path string, covered float64, err error)) (Provenance, error) {
	p := Provenance{Sources: []Source{}, Sentences: make([]Sentence, len(a.sentences))}
	for i, s := range a.sentences {
		p.Sentences[i] = Sentence{Text: text[s.start:s.end], Sources: []int{}}
	}
	type candidate struct {
		Source
		nats  []float64 // by sentence
		first int       // sentence that it mattered to
	}
	var sources []candidate
	covered := false
	for i, passage := range a.passages {
		s := candidate{Source: Source{Passage: passage}, nats: a.nats[i]}
		var err error
		if s.Path, s.Covered, err = look(passage); err != nil {
			return p, err
		}
		covered = covered || s.Covered < 0 || s.Covered >= Covered
		for _, nats := range s.nats {
			s.Nats += nats
		}
		if s.Nats < SourceNats {
			p.Unused = append(p.Unused, s.Source)
			continue
		}
		// It stands behind at least the sentence that it mattered most to.
		least := min(SentenceNats, slices.Max(s.nats))
		s.first = slices.IndexFunc(s.nats, func(nats float64) bool { return nats >= least })
		sources = append(sources, s)
	}
	slices.SortStableFunc(sources, func(a, b candidate) int {
		return cmp.Or(a.first-b.first, cmp.Compare(b.nats[b.first], a.nats[a.first]))
	})
	for i := range sources {
		sources[i].Number = i + 1
		p.Sources = append(p.Sources, sources[i].Source)
	}
	p.Found = len(sources) > 0 && covered
	for i := range p.Sentences {
		slices.SortStableFunc(sources, func(a, b candidate) int { return cmp.Compare(b.nats[i], a.nats[i]) })
		for _, s := range sources {
			if s.nats[i] >= min(SentenceNats, slices.Max(s.nats)) {
				p.Sentences[i].Sources = append(p.Sentences[i].Sources, s.Number)
			}
		}
	}
	return p, nil
}
