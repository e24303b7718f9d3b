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

	// Excluded is the title of an article no passage of which may be shown; "": none.
	Excluded string `json:"-"`
}

// Unanswerable returns the questions as they are asked without an answer in the
// documents: no passage of their own article may be shown. The error names one whose
// article is not known.
func Unanswerable(questions []Question) ([]Question, error) {
	var all []Question
	for _, q := range questions {
		if q.PassageTitle == "" {
			return nil, fmt.Errorf("question %s: it names no passage_title, the article to leave out", q.ID)
		}
		q.ID, q.Excluded = q.ID+" without its article", q.PassageTitle
		all = append(all, q)
	}
	return all, nil
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
