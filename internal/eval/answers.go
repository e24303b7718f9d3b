package eval

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/flashback-lm/flashback/internal/lm"
)

// Answer is what one row answered to one question.
type Answer struct {
	Row string `json:"row"`
	ID  string `json:"id"` // of the question, or of the conversation and the turn in it

	Text    string     `json:"answer"`
	Tokens  int        `json:"tokens"`            // of the answer, its last included that ends it
	Strides [][]string `json:"strides,omitempty"` // ids of the passages shown, stride by stride
	Counts  lm.Counts  `json:"counts"`
	MS      float64    `json:"ms"` // from the question to the end of the answer

	// Refused says that it is told not to be in the documents; nil: nobody looked.
	Refused *bool `json:"refused,omitempty"`

	// Of a conversation's turns: tokens of the prompt, and how many of them stand at the
	// beginning of a text before it.
	Prompt int `json:"prompt,omitempty"`
	Cached int `json:"cached,omitempty"`

	InAnswer bool    `json:"in_answer"`
	Exact    bool    `json:"exact"`
	F1       float64 `json:"f1"`
}

// Computed returns how many tokens the model computed for the answer.
func (a *Answer) Computed() int { return a.Counts.Prompt + a.Counts.Prefilled + a.Counts.Decoded }

// judge compares the answer with the right ones.
func (a *Answer) judge(right []string) {
	a.InAnswer, a.Exact, a.F1 = InAnswer(a.Text, right), ExactMatch(a.Text, right), F1(a.Text, right)
}

// Answers keeps answers by row and question, and appends them to a file of JSON
// lines, if it has one, the first of which says what they are of.
type Answers struct {
	by    map[answerKey]Answer
	lines *lines
}

type answerKey struct{ row, id string }

// OpenAnswers opens the file of answers with these settings, or makes it; "": answers
// are kept in memory. A torn last line is dropped.
func OpenAnswers(path string, settings any) (*Answers, error) {
	a := &Answers{by: map[answerKey]Answer{}}
	if path == "" {
		return a, nil
	}
	head, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	a.lines, err = openLines(path, settings, func(n int, line []byte) error { return a.take(n, line, head) })
	return a, err
}

// take takes up line n of a file of answers whose first is head.
func (a *Answers) take(n int, line, head []byte) error {
	if n == 1 {
		if line = bytes.TrimSpace(line); !bytes.Equal(line, head) {
			return fmt.Errorf("the answers are of other settings, %.1000s instead of %.1000s", line, head)
		}
		return nil
	}
	var answer Answer
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("not an answer: %w", err)
	}
	switch {
	case !(answer.F1 >= 0 && answer.F1 <= 1):
		return fmt.Errorf("F1 is %v", answer.F1)
	case !(answer.MS >= 0):
		return fmt.Errorf("it took %v ms", answer.MS)
	case answer.Prompt < 0 || answer.Cached < 0 || answer.Cached > answer.Prompt:
		return fmt.Errorf("%d of %d tokens of its prompt stood before", answer.Cached, answer.Prompt)
	case answer.Computed() < 0 || answer.Tokens < 0:
		return fmt.Errorf("%d tokens were computed for %d", answer.Computed(), answer.Tokens)
	}
	a.by[answerKey{answer.Row, answer.ID}] = answer
	return nil
}

// add keeps an answer.
func (a *Answers) add(answer Answer) error {
	a.by[answerKey{answer.Row, answer.ID}] = answer
	return a.lines.add(answer)
}

// of returns a row's answer to a question, if it is there.
func (a *Answers) of(r QARow, q Question) (Answer, bool) {
	answer, ok := a.by[answerKey{r.String(), q.ID}]
	return answer, ok
}

// Close syncs and closes the file, if there is one.
func (a *Answers) Close() error { return a.lines.close() }
