package retrieve

import (
	"context"
	"slices"
	"strings"
)

// Outside returns the k best passages for a text that are of no document with this
// id or title: none of its title, its id, or a chunk of it. It is how a text that
// the index itself has is evaluated or trained on.
func Outside(ctx context.Context, r Retriever, text string, k int, id, title string) ([]Passage, error) {
	q := Query{Text: text, ExcludeIDs: []string{id}}
	if title != "" {
		q.ExcludeTitles = []string{title}
	}
	for q.K = k; ; q.K *= 2 {
		found, err := r.Retrieve(ctx, q)
		if err != nil {
			return nil, err
		}
		all := len(found) < q.K
		found = slices.DeleteFunc(found, func(p Passage) bool { return p.Of(id) })
		if all || len(found) >= k {
			return found[:min(k, len(found))], nil
		}
	}
}

// Of reports whether the passage is the document with this id, or a chunk of it.
func (p Passage) Of(document string) bool {
	return p.ID == document || strings.HasPrefix(p.ID, document+"#")
}
