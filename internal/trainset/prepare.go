package trainset

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Parts of a plan.
const (
	Training   = "training"
	Validation = "validation"
)

// Preparation makes files of a plan.
type Preparation struct {
	Plan      *Plan
	Tokenizer ralm.Tokenizer
	Retriever retrieve.Retriever
	Threads   int
	Lead      []int32 // what the model reads in front of every text: its BOS, or nothing
	// Header is what the files say of the tokenizer and the index; the rest is
	// filled in.
	Header Header
}

// Stats says what a file holds.
type Stats struct {
	Windows, Strides, Targets int
	Bare                      int // strides without a passage
	Passages                  int
}

// Run writes training windows, 0 for all, to path and, where validation is not 0, that many to
// validationPath. It goes on where an earlier run with the same header was ended,
// at any moment; the bytes are the same. After each window, done is called.
func (p *Preparation) Run(ctx context.Context, path string, training int, validationPath string, validation int, done func()) (Stats, error) {
	if validation >= len(p.Plan.documents) {
		return Stats{}, fmt.Errorf("%d windows for validation, each of a document that training does not see: only %d documents are long enough", validation, len(p.Plan.documents))
	}
	windows, held := p.Plan.choose(training, validation)
	if len(windows) < training {
		return Stats{}, fmt.Errorf("the documents have %d windows, not %d: ask for fewer, or for all", len(windows), training)
	}
	if validation > 0 {
		if _, err := p.write(ctx, validationPath, Validation, held, done); err != nil {
			return Stats{}, err
		}
	}
	return p.write(ctx, path, Training, windows, done)
}

// write makes one file.
func (p *Preparation) write(ctx context.Context, path, part string, cuts []cut, done func()) (stats Stats, err error) {
	h := p.Header
	h.Format, h.Windows, h.Corpus, h.Part, h.Options = Format, len(cuts), p.Plan.Digest, part, p.Plan.options
	h.BOS = len(p.Lead) > 0
	w, err := NewWriter(path, h)
	if err != nil {
		return stats, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for range w.Len() {
		done()
	}
	for w.Len() < len(cuts) {
		first := w.Len()
		windows, err := p.windows(ctx, cuts[first:min(first+batch, len(cuts))], first)
		if err != nil {
			return stats, err
		}
		for _, window := range windows {
			if err := w.Add(window); err != nil {
				return stats, err
			}
			done()
		}
	}
	if err := w.Commit(); err != nil {
		return stats, err
	}
	return Count(path)
}

// batch is how many windows are made before they are written.
const batch = 32

// windows looks up what the windows need that stand in the file from first on.
func (p *Preparation) windows(ctx context.Context, cuts []cut, first int) ([]Window, error) {
	windows := make([]Window, len(cuts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, p.Threads))
	for i, c := range cuts {
		group.Go(func() (err error) {
			windows[i], err = p.window(ctx, c, first+i)
			return err
		})
	}
	return windows, group.Wait()
}

func (p *Preparation) window(ctx context.Context, c cut, number int) (Window, error) {
	o := p.Plan.options
	text := c.tokens[c.start : c.start+o.Window()]
	w := Window{Document: c.id, Tokens: slices.Concat(p.Lead, text)}
	query := ralm.LastTokens(p.Tokenizer, o.QueryLen)
	placing := ralm.Defaults()
	placing.PassageLen, placing.Marks = o.PassageLen, nil
	for _, context := range o.contexts(number) {
		found, err := retrieve.Outside(ctx, p.Retriever, query(text[:context], 0), o.K, c.id, c.title)
		if err != nil {
			return w, fmt.Errorf("looking passages up for document %q: %w", c.id, err)
		}
		s := Stride{Context: len(p.Lead) + context, Passages: []Passage{}}
		placed, evidence := ralm.Place(p.Tokenizer, found, placing)
		for i, ev := range evidence {
			s.Passages = append(s.Passages, Passage{ID: placed[i].ID, Score: placed[i].Score, Tokens: ev.Tokens})
		}
		w.Strides = append(w.Strides, s)
	}
	return w, nil
}

// Count reads a whole file and says what it holds.
func Count(path string) (Stats, error) {
	set, err := Open(path)
	if err != nil {
		return Stats{}, err
	}
	defer set.Close()
	stats := Stats{Windows: set.Len()}
	for i := range set.Len() {
		w, err := set.Window(i)
		if err != nil {
			return stats, err
		}
		stats.Strides += len(w.Strides)
		stats.Targets += len(w.Strides) * set.header.Stride
		for _, s := range w.Strides {
			stats.Passages += len(s.Passages)
			if len(s.Passages) == 0 {
				stats.Bare++
			}
		}
	}
	return stats, nil
}
