package eval

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
)

// Question is a question with its right answers.
type Question struct {
	ID       string   `json:"id"`
	Question string   `json:"question"`
	Answers  []string `json:"answers"`
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

// Answer is what one row answered to one question.
type Answer struct {
	Row      string   `json:"row"`
	ID       string   `json:"id"`
	Answer   string   `json:"answer"`
	Passages []string `json:"passages,omitempty"` // ids, as they were shown
	Exact    bool     `json:"exact"`
	F1       float64  `json:"f1"`
}

// Answers keeps answers by row and question, and appends them to a file of JSON
// lines, if it has one, the first of which says what they are of.
type Answers struct {
	by    map[[2]string]Answer
	lines *lines
}

// OpenAnswers opens the file of answers with these settings, or makes it; "": answers
// are kept in memory. A torn last line is dropped.
func OpenAnswers(path string, settings any) (*Answers, error) {
	a := &Answers{by: map[[2]string]Answer{}}
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
		if !bytes.Equal(bytes.TrimSpace(line), head) {
			return fmt.Errorf("the answers are of other settings, %.200s", bytes.TrimSpace(line))
		}
		return nil
	}
	var answer Answer
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("not an answer: %w", err)
	}
	if !(answer.F1 >= 0 && answer.F1 <= 1) {
		return fmt.Errorf("F1 is %v", answer.F1)
	}
	a.by[[2]string{answer.Row, answer.ID}] = answer
	return nil
}

// Close syncs and closes the file, if there is one.
func (a *Answers) Close() error { return a.lines.close() }

// Answering asks a question in a row's way and returns the answer with the ids of
// the passages that were shown.
type Answering func(ctx context.Context, r Row, question string) (answer string, passages []string, err error)

// Ask asks every question in every row that has no answer yet; done is called after
// each question.
func (a *Answers) Ask(ctx context.Context, rows []Row, questions []Question, ask Answering, done func()) error {
	for _, q := range questions {
		for _, r := range rows {
			if _, ok := a.by[[2]string{r.String(), q.ID}]; ok {
				continue
			}
			text, passages, err := ask(ctx, r, q.Question)
			if err != nil {
				return fmt.Errorf("question %s, row %s: %w", q.ID, r, err)
			}
			answer := Answer{r.String(), q.ID, text, passages, ExactMatch(text, q.Answers), F1(text, q.Answers)}
			a.by[[2]string{answer.Row, answer.ID}] = answer
			if err := a.lines.add(answer); err != nil {
				return err
			}
		}
		done()
	}
	return nil
}

// Markdown writes a table of the questions that every row has an answer to, with
// 95 % bootstrap intervals over questions.
func (a *Answers) Markdown(w io.Writer, rows []Row, questions []Question) error {
	var answered []Question
	for _, q := range questions {
		all := true
		for _, r := range rows {
			_, ok := a.by[[2]string{r.String(), q.ID}]
			all = all && ok
		}
		if all {
			answered = append(answered, q)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d questions\n", len(answered))
	if len(answered) > 0 {
		b.WriteString("\n| row | exact match | 95 % interval | F1 | 95 % interval |\n|---|---:|---:|---:|---:|\n")
	}
	for _, r := range rows {
		if len(answered) == 0 {
			break
		}
		exact, f1 := make([]float64, len(answered)), make([]float64, len(answered))
		for i, q := range answered {
			answer := a.by[[2]string{r.String(), q.ID}]
			f1[i] = 100 * answer.F1
			if answer.Exact {
				exact[i] = 100
			}
		}
		e, f := mean(exact), mean(f1)
		fmt.Fprintf(&b, "| %s | %.1f | %.1f – %.1f | %.1f | %.1f – %.1f |\n", r, e.Value, e.Low, e.High, f.Value, f.Low, f.High)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mean is the mean of values with its interval.
func mean(values []float64) Estimate {
	return bootstrap(len(values), func(draw []int) float64 {
		sum := 0.0
		for _, i := range draw {
			sum += values[i]
		}
		return sum / float64(len(draw))
	})
}
