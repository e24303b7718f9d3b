package trainset

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Question is a question with what answers it, as a line of JSON.
type Question struct {
	ID       string   `json:"id"`
	Question string   `json:"question"`
	Answers  []string `json:"answers"` // each right
	// The passage that answers it; without an id it is not known.
	PassageID    string `json:"passage_id"`
	PassageTitle string `json:"passage_title"`
	Passage      string `json:"passage"`
}

// maxQuestion bounds a line of a file of questions.
const maxQuestion = 1 << 20

// ReadQuestions reads questions, a line each.
func ReadQuestions(r io.Reader) ([]Question, error) {
	var questions []Question
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxQuestion)
	for n := 1; lines.Scan(); n++ {
		var q Question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return nil, fmt.Errorf("line %d is no question: %w", n, err)
		}
		if strings.TrimSpace(q.Question) == "" || strings.TrimSpace(q.answer()) == "" {
			return nil, fmt.Errorf("line %d: it needs a \"question\" and \"answers\", a list", n)
		}
		questions = append(questions, q)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(questions) == 0 {
		return nil, errors.New("no question")
	}
	return questions, nil
}

// answer returns the most complete of the right answers, the longest, if there are any of
// those that the passage has, where it is known.
func (q Question) answer() string {
	longest := func(answers []string) string {
		if len(answers) == 0 {
			return ""
		}
		return slices.MaxFunc(answers, func(a, b string) int { return len(a) - len(b) })
	}
	text := strings.ToLower(q.Passage)
	quoted := slices.DeleteFunc(slices.Clone(q.Answers), func(a string) bool { return !strings.Contains(text, strings.ToLower(a)) })
	return cmp.Or(longest(quoted), longest(q.Answers))
}

// answeredBy reports whether the passage is the question's own, with its answer.
func (q Question) answeredBy(p retrieve.Passage) bool {
	return q.PassageID != "" && p.Of(q.PassageID) && strings.Contains(strings.ToLower(p.Text), strings.ToLower(q.answer()))
}

// Nothing is what a chat is trained to answer where no passage does.
const Nothing = "Not in your documents."

// Exchange is a question as a chat asks it, with its answer and what was found for it.
type Exchange struct {
	Question string  `json:"question"` // the question's id
	Tokens   []int32 `json:"tokens"`   // the prompt, the answer, the end of its turn
	Context  int     `json:"context"`  // tokens of the prompt
	// Turn is the token at which the question begins: an echo of the turn repeats
	// what follows, and prepended passages stand before it.
	Turn int `json:"turn"`
	// Passages are the best found, best first, as tokens without marks.
	Passages []Passage `json:"passages"`
	// Own is which of Passages has the answer, -1: none. Where it was not found it
	// stands behind those that were.
	Own int `json:"own"`
}

// ExchangesHeader says what exchanges are of. A trainer needs Separator, which stands
// behind each prepended passage, and Nothing, the answer where no passage has one.
type ExchangesHeader struct {
	Format     int     `json:"format"`
	Questions  int     `json:"questions"`
	Tokenizer  string  `json:"tokenizer"`
	Vocab      int     `json:"vocab"`
	Index      string  `json:"index"`
	K          int     `json:"k"`
	PassageLen int     `json:"passage_len"`
	Separator  []int32 `json:"separator"`
	Nothing    []int32 `json:"nothing"`
}

// Exchanges makes examples of a chat from questions.
type Exchanges struct {
	Tokenizer *tokenizer.Tokenizer
	Retriever retrieve.Retriever
	// Systems are system messages that questions take in turns, "" for the model's own.
	Systems    []string
	K          int // passages a question, besides its own
	PassageLen int // tokens at which a passage is cut
	Threads    int // that look passages up
}

// Header returns the header for so many questions and an index with the digest.
func (e *Exchanges) Header(questions int, index string) ExchangesHeader {
	return ExchangesHeader{
		Format: Format, Questions: questions, Tokenizer: e.Tokenizer.Digest(), Vocab: e.Tokenizer.Size(), Index: index, K: e.K, PassageLen: e.PassageLen,
		Separator: e.Tokenizer.Encode("\n\n"), Nothing: append(e.Tokenizer.Encode(Nothing), e.Tokenizer.EOS()),
	}
}

// Make looks passages up for questions and lays each out as a chat asks it, in order.
// After each, done is called, by several goroutines at once.
func (e *Exchanges) Make(ctx context.Context, questions []Question, done func()) ([]Exchange, error) {
	if e.Tokenizer.EOS() < 0 {
		return nil, errors.New("the model has no token that ends a turn")
	}
	exchanges := make([]Exchange, len(questions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, e.Threads))
	for i, q := range questions {
		group.Go(func() (err error) {
			if exchanges[i], err = e.exchange(ctx, q, e.Systems[i%len(e.Systems)]); err != nil {
				err = fmt.Errorf("question %q: %w", q.ID, err)
			}
			done()
			return err
		})
	}
	return exchanges, group.Wait()
}

func (e *Exchanges) exchange(ctx context.Context, q Question, system string) (Exchange, error) {
	x := Exchange{Question: q.ID, Passages: []Passage{}, Own: -1}
	var messages []tokenizer.Message
	if system != "" {
		messages = append(messages, tokenizer.Message{Role: "system", Content: system})
	}
	prompt, turn, err := e.Tokenizer.Question(append(messages, tokenizer.Message{Role: "user", Content: q.Question}))
	if err != nil {
		return x, err
	}
	x.Context, x.Turn = len(prompt), turn
	x.Tokens = append(append(prompt, e.Tokenizer.Encode(q.answer())...), e.Tokenizer.EOS())
	query := ralm.Question(e.Tokenizer, ralm.InConversation([]string{q.Question}), 1)(prompt, len(prompt))
	found, err := e.Retriever.Retrieve(ctx, retrieve.Query{Text: query, K: e.K})
	if err != nil {
		return x, err
	}
	x.Own = slices.IndexFunc(found, q.answeredBy)
	if own := (retrieve.Passage{ID: q.PassageID, Title: q.PassageTitle, Text: q.Passage, First: true}); x.Own < 0 && q.answeredBy(own) {
		own.Breadcrumb = len(found) == 0 || found[0].Breadcrumb
		x.Own = len(found)
		found = append(found, own)
	}
	placing := ralm.Defaults()
	placing.PassageLen = e.PassageLen
	placed, evidence := ralm.Place(e.Tokenizer, found, placing)
	if len(placed) != len(found) {
		return x, errors.New("one of its passages has no text")
	}
	for i, ev := range evidence {
		x.Passages = append(x.Passages, Passage{ID: placed[i].ID, Score: placed[i].Score, Tokens: ev.Tokens})
	}
	return x, nil
}
