package eval

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
)

// Question is a question with its right answers, and where they stand, if that is known.
type Question struct {
	ID       string   `json:"id"`
	Question string   `json:"question"`
	Answers  []string `json:"answers"`

	PassageID    string `json:"passage_id,omitempty"`    // the document that answers it
	PassageTitle string `json:"passage_title,omitempty"` // its article
	Passage      string `json:"passage,omitempty"`       // and its text
}

// maxQuestion bounds a line of a file of questions.
const maxQuestion = 1 << 20

// ReadQuestions reads a .jsonl file, perhaps .gz or .zst, up to limit questions; 0: all.
func ReadQuestions(path string, limit int) ([]Question, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, _, err := corpus.Decompress(f, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	questions, err := parseQuestions(r, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return questions, nil
}

func parseQuestions(r io.Reader, limit int) ([]Question, error) {
	var questions []Question
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxQuestion)
	for n := 1; lines.Scan() && (limit == 0 || len(questions) < limit); n++ {
		var q Question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return nil, fmt.Errorf("line %d is no question: %w", n, err)
		}
		if q.ID == "" {
			q.ID = fmt.Sprint(n)
		}
		switch {
		case strings.TrimSpace(q.Question) == "" || len(q.Answers) == 0:
			return nil, fmt.Errorf("line %d: it needs a \"question\" and \"answers\", a list", n)
		case seen[q.ID]:
			return nil, fmt.Errorf("line %d: the id %q is there twice", n, q.ID)
		}
		seen[q.ID] = true
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
