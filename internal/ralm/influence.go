package ralm

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Scored is a text that can tell how probable tokens behind it are: a fork of the
// sequence that wrote them, so that nothing of that one changes.
type Scored interface {
	// Truncate keeps the first n tokens only.
	Truncate(n int)
	// Score returns the natural log-probabilities of the target behind text and evidence.
	Score(ctx context.Context, p placement.Placement, evidence []lm.Evidence, target []int32) ([]float64, error)
	Close()
}

// Influence is what passages did for the tokens that were written while they were in
// sight, in nats: by how much less probable a token is where one of them is taken away.
type Influence struct {
	Tokens   []int32            // without the one that ended the text
	Strides  int                // in a row that it is of
	Passages []retrieve.Passage // in sight, best first
	// Lost is what tokens lose without one passage while the others stay
	// [passages][tokens]. Of two that say the same each loses little.
	Lost [][]float64
}

// Weigh takes the passages of a generation away, one at a time, and scores the tokens
// that were written in their sight. Strides in a row that saw the same passages are
// scored at once. fork returns the text behind its last token; the forks of one
// stretch are scored side by side, for a batch to share.
func Weigh(ctx context.Context, fork func() Scored, t Tokenizer, trace *Trace, o Options) ([]Influence, error) {
	var weighed []Influence
	var kept tokenised
	for strides := trace.Strides; len(strides) > 0; {
		n := 1
		for n < len(strides) && slices.EqualFunc(strides[n].Passages, strides[0].Passages, samePassage) {
			n++
		}
		in, err := weigh(ctx, fork, t, &kept, strides[:n], o)
		if err != nil {
			return nil, fmt.Errorf("weighing passages: %w", err)
		}
		weighed, strides = append(weighed, in), strides[n:]
	}
	return weighed, nil
}

func samePassage(a, b Placed) bool { return unscored(a.Passage) == unscored(b.Passage) }

// weigh scores strides that saw the same passages.
func weigh(ctx context.Context, fork func() Scored, t Tokenizer, kept *tokenised, strides []TracedStride, o Options) (Influence, error) {
	in := Influence{Strides: len(strides)}
	for _, s := range strides {
		in.Tokens = append(in.Tokens, s.Tokens...)
	}
	if n := len(in.Tokens); n > 0 && slices.Contains(o.StopTokens, in.Tokens[n-1]) {
		in.Tokens = in.Tokens[:n-1]
	}
	for _, p := range strides[0].Passages {
		in.Passages = append(in.Passages, p.Passage)
	}
	in.Lost = make([][]float64, len(in.Passages))
	if len(in.Tokens) == 0 || len(in.Passages) == 0 {
		return in, nil
	}
	sights := [][]Placed{strides[0].Passages}
	for i := range in.Passages {
		sights = append(sights, slices.Delete(slices.Clone(strides[0].Passages), i, i+1))
	}
	scores := make([][]float64, len(sights))
	group, ctx := errgroup.WithContext(ctx)
	for i, sight := range sights {
		p, evidence := kept.placeAgain(t, sight, o)
		p = p.ForTurn(strides[0].Context, o.Turn)
		text := fork()
		text.Truncate(strides[0].Context)
		group.Go(func() (err error) {
			defer text.Close()
			scores[i], err = text.Score(ctx, p, evidence, in.Tokens)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return in, err
	}
	for i := range in.Lost {
		in.Lost[i] = make([]float64, len(in.Tokens))
		for j, with := range scores[0] {
			in.Lost[i][j] = with - scores[1+i][j]
		}
	}
	return in, nil
}

// placeAgain returns the evidence of passages that were in sight once, and where it stands.
func (c *tokenised) placeAgain(t Tokenizer, sight []Placed, o Options) (placement.Placement, []lm.Evidence) {
	passages, first := make([]retrieve.Passage, len(sight)), 0
	for i, p := range sight {
		passages[i] = p.Passage
		if p.InTurn {
			first = i + 1
		}
	}
	if o.Placement.Evidence == placement.BeforeTurn && first == 0 { // nothing stands in the text any more
		virtual := placement.Virtual
		virtual.Apart = o.Placement.Apart
		o.Placement, o.Joined = virtual, false
	}
	_, evidence := c.placeTurn(t, passages, first, &o)
	if len(evidence) == 0 {
		return placement.None, nil
	}
	return o.Placement, evidence
}
