package ralm

import (
	"context"
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// joiner makes longer passages of short ones, by the text that stands around them.
type joiner struct {
	retriever retrieve.Neighbours
	tokenizer Tokenizer
	kept      *tokenised
	limit     int                       // tokens of a passage
	taken     map[retrieve.Passage]bool // those that stand in a longer one, without scores
}

// join joins each passage that was found, best first, with those behind it and before
// it in the same section of its document, as long as all stay within PassageLen. What
// stands in a better one already is left out, so no text is read twice.
func (r *run) join(ctx context.Context, found []retrieve.Passage) ([]retrieve.Passage, error) {
	around, ok := r.retriever.(retrieve.Neighbours)
	if !ok || !r.o.Join {
		return found, nil
	}
	j := joiner{around, r.tokenizer, &r.passages, r.o.PassageLen, map[retrieve.Passage]bool{}}
	var joined []retrieve.Passage
	for _, p := range found {
		if j.taken[unscored(p)] {
			continue
		}
		p, err := j.grow(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("looking up what stands around a passage: %w", err)
		}
		joined = append(joined, p)
	}
	return joined, nil
}

// grow returns the passage with its neighbours, by turns one behind it and one before.
// It has the id and score of the one that was found, and the place where it begins.
func (j *joiner) grow(ctx context.Context, p retrieve.Passage) (retrieve.Passage, error) {
	j.taken[unscored(p)] = true
	grown, ends := p, [2]retrieve.Passage{p, p} // the last and the first of it
	for open := [2]bool{true, true}; open[0] || open[1]; {
		for i, step := range [2]int{1, -1} {
			if !open[i] {
				continue
			}
			q, ok, err := j.retriever.Neighbour(ctx, ends[i], step)
			if err != nil {
				return p, err
			}
			open[i] = false
			if !ok || j.taken[unscored(q)] || !sameSection(p, q, step) {
				continue
			}
			longer := q
			if step > 0 {
				longer = grown
				longer.Text = concat(grown, q)
			} else {
				longer.Text = concat(q, grown)
				longer.ID, longer.Score = p.ID, p.Score
			}
			if j.tokens(longer) <= j.limit {
				grown, ends[i], open[i] = longer, q, true
				j.taken[unscored(q)] = true
			}
		}
	}
	return grown, nil
}

// tokens returns the tokens of a passage's evidence, but no more than one too many.
func (j *joiner) tokens(p retrieve.Passage) int { return len(j.kept.get(j.tokenizer, p, j.limit+1)) }

// sameSection reports whether a neighbour stands under the headings of p; behind it,
// under some below those too.
func sameSection(p, q retrieve.Passage, step int) bool {
	return q.Heading == p.Heading || step > 0 && p.Heading != "" && strings.HasPrefix(q.Heading, p.Heading+" > ")
}

// concat returns the text of a passage with that of the next one, whose beginning may
// repeat its end. Blanks between the two are not known: where there were some, a line
// break stands for one and a blank line for more.
func concat(p, next retrieve.Passage) string {
	switch end := p.Offset + int64(len(p.Text)); {
	case next.Offset <= end && end-next.Offset <= int64(len(next.Text)):
		return p.Text + next.Text[end-next.Offset:]
	case next.Offset == end+1:
		return p.Text + "\n" + next.Text
	}
	return p.Text + "\n\n" + next.Text
}

// unscored returns the passage without its score, which depends on the query.
func unscored(p retrieve.Passage) retrieve.Passage {
	p.Score = 0
	return p
}
