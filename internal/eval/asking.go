package eval

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Asking asks a question in a row's way and returns its answer, of which text, tokens,
// strides and counts are said. Several are asked at once.
type Asking func(ctx context.Context, r QARow, q Question) (Answer, error)

// Conversing asks the questions of a conversation one after the other in a row's way and
// returns an answer a turn, of which all that Asking says is said, time and prompt.
// Several conversations are held at once.
type Conversing func(ctx context.Context, r QARow, c Conversation) ([]Answer, error)

// Ask asks every question in every row that has no answer yet, up to so many at
// once; done is called after each answer, those that were there too.
func (a *Answers) Ask(ctx context.Context, rows []QARow, questions []Question, atOnce int, ask Asking, done func()) error {
	var jobs []job
	for _, q := range questions {
		for _, r := range rows {
			jobs = append(jobs, job{r, []asked{{q.ID, q.Answers}}, func(ctx context.Context) ([]Answer, error) {
				start := time.Now()
				answer, err := ask(ctx, r, q)
				if err != nil {
					return nil, fmt.Errorf("question %s, row %s: %w", q.ID, r, err)
				}
				answer.MS = float64(time.Since(start)) / float64(time.Millisecond)
				return []Answer{answer}, nil
			}})
		}
	}
	return a.collect(ctx, jobs, atOnce, done)
}

// Converse holds every conversation in every row that has not all answers yet, up to so
// many at once; done is called after each, those that were there too.
func (a *Answers) Converse(ctx context.Context, rows []QARow, conversations []Conversation, atOnce int, converse Conversing, done func()) error {
	var jobs []job
	for _, c := range conversations {
		var questions []asked
		for i, turn := range c.Turns {
			questions = append(questions, asked{c.turn(i), turn.Answers})
		}
		for _, r := range rows {
			jobs = append(jobs, job{r, questions, func(ctx context.Context) ([]Answer, error) {
				answers, err := converse(ctx, r, c)
				if err == nil && len(answers) != len(c.Turns) {
					err = fmt.Errorf("%d answers to %d questions", len(answers), len(c.Turns))
				}
				if err != nil {
					return nil, fmt.Errorf("conversation %q, row %s: %w", c.String(), r, err)
				}
				return answers, nil
			}})
		}
	}
	return a.collect(ctx, jobs, atOnce, done)
}

// job asks some questions that only together have answers.
type job struct {
	row       QARow
	questions []asked
	ask       func(ctx context.Context) ([]Answer, error)
}

// asked is a question as its answers know it.
type asked struct {
	id    string
	right []string
}

// collect does the jobs that have not all answers yet, up to so many at once.
func (a *Answers) collect(ctx context.Context, jobs []job, atOnce int, done func()) error {
	var mu sync.Mutex // of a and done
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(atOnce)
	for _, j := range jobs {
		mu.Lock()
		there := a.has(j)
		if there {
			done()
		}
		mu.Unlock()
		if there {
			continue
		}
		workers.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			answers, err := j.ask(ctx)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for i, answer := range answers {
				answer.Row, answer.ID = j.row.String(), j.questions[i].id
				answer.judge(j.questions[i].right)
				if err := a.add(answer); err != nil {
					return err
				}
			}
			done()
			return nil
		})
	}
	return workers.Wait()
}

// has reports whether all of a job's answers are there.
func (a *Answers) has(j job) bool {
	for _, q := range j.questions {
		if _, ok := a.by[answerKey{j.row.String(), q.id}]; !ok {
			return false
		}
	}
	return true
}
