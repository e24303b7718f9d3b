package eval

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Conversation is questions on one article, asked one after the other.
type Conversation struct {
	Article string
	// Changes says that each turn is shown passages that no turn was shown before; else
	// all are shown the same.
	Changes bool
	Turns   []Turn
}

// Turn is a question and the passages that are found for it, best first.
type Turn struct {
	Question
	Passages []retrieve.Passage
}

// String names the conversation, one name each.
func (c *Conversation) String() string { return kind(c.Changes) + " " + c.Article }

// turn names the nth turn, from 0, among those of all conversations.
func (c *Conversation) turn(n int) string { return fmt.Sprintf("%s %d", c, n+1) }

func kind(changes bool) string {
	if changes {
		return "new"
	}
	return "same"
}

// Conversations makes two conversations of each article that has enough questions and
// passages, up to limit articles (0: all), in the order of the file: one on the k
// passages with the most questions, shown in every turn, and one with a passage more to
// know in each turn: the question's own is shown first, then k-1 that no question of the
// conversation is about.
func Conversations(questions []Question, turns, k, limit int) ([]Conversation, error) {
	var articles []string
	of := map[string][]Question{}
	for _, q := range questions {
		if q.PassageID == "" || q.PassageTitle == "" || q.Passage == "" {
			return nil, fmt.Errorf("question %s: it needs passage_id, passage_title and passage", q.ID)
		}
		if of[q.PassageTitle] == nil {
			articles = append(articles, q.PassageTitle)
		}
		of[q.PassageTitle] = append(of[q.PassageTitle], q)
	}
	var all []Conversation
	for _, article := range articles {
		same, changing := sameTurns(of[article], turns, k), changingTurns(of[article], turns, k)
		if same == nil || changing == nil {
			continue
		}
		all = append(all, Conversation{article, false, same}, Conversation{article, true, changing})
		if len(all) == 2*limit {
			break
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no article has %d questions on %d of its passages, and %d passages", turns, k, turns*k)
	}
	return all, nil
}

// byPassage returns the questions of each passage, passages in the order of the file.
func byPassage(questions []Question) [][]Question {
	var passages [][]Question
	at := map[string]int{}
	for _, q := range questions {
		i, ok := at[q.PassageID]
		if !ok {
			i = len(passages)
			at[q.PassageID] = i
			passages = append(passages, nil)
		}
		passages[i] = append(passages[i], q)
	}
	return passages
}

// sameTurns returns turns on the k passages with the most questions; nil: there are not
// enough.
func sameTurns(questions []Question, turns, k int) []Turn {
	passages := byPassage(questions)
	slices.SortStableFunc(passages, func(a, b []Question) int { return cmp.Compare(len(b), len(a)) })
	if len(passages) < k {
		return nil
	}
	var found []retrieve.Passage
	for _, of := range passages[:k] {
		found = append(found, of[0].document(len(found)))
	}
	var all []Turn
	for _, q := range questions {
		shown := slices.ContainsFunc(found, func(p retrieve.Passage) bool { return p.ID == q.PassageID })
		if shown && len(all) < turns {
			all = append(all, Turn{q, found})
		}
	}
	if len(all) < turns {
		return nil
	}
	return all
}

// changingTurns returns turns on one passage each, with k-1 others beside it; nil: there
// are not enough.
func changingTurns(questions []Question, turns, k int) []Turn {
	passages := byPassage(questions)
	if len(passages) < turns*k {
		return nil
	}
	all := make([]Turn, turns)
	for i := range all {
		all[i].Question = passages[i][0]
		found := []retrieve.Passage{all[i].document(0)}
		for j := range k - 1 {
			found = append(found, passages[turns+i*(k-1)+j][0].document(1+j))
		}
		all[i].Passages = found
	}
	return all
}

// document returns the question's passage as an index has it that was found at a rank
// from 0.
func (q *Question) document(rank int) retrieve.Passage {
	return retrieve.Passage{ID: q.PassageID, Title: q.PassageTitle, Text: q.Passage, First: true, Breadcrumb: true, Score: 10 / float64(1+rank)}
}

// Found is a retriever that finds for a turn what the conversation says, whatever the
// query is.
type Found struct{}

type turnKey struct{}

// WithTurn says for which turn passages are looked up.
func WithTurn(ctx context.Context, t Turn) context.Context {
	return context.WithValue(ctx, turnKey{}, t.Passages)
}

// Retrieve returns the passages of the turn.
func (Found) Retrieve(ctx context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	passages, _ := ctx.Value(turnKey{}).([]retrieve.Passage)
	return passages[:min(q.K, len(passages))], nil
}

// Cached returns how many tokens of a prompt a prefix cache has that keeps all texts
// before: the longest beginning that it has in common with one of them. The prompt's
// last token is computed in any case, and so is the last one of a text, an answer's: it
// was sampled and never read.
func Cached(prompt []int32, before [][]int32) int {
	longest := 0
	for _, text := range before {
		n := min(len(prompt), len(text)) - 1
		for i := range n {
			if prompt[i] != text[i] {
				n = i
				break
			}
		}
		longest = max(longest, n)
	}
	return longest
}
