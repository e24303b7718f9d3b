package eval

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Asking asks a question in a row's way and returns its answer, of which text, strides
// and counts are said. Several are asked at once.
type Asking func(ctx context.Context, r QARow, q Question) (Answer, error)

// Ask asks every question in every row that has no answer yet, up to so many at
// once; done is called after each answer, those that were there too.
func (a *Answers) Ask(ctx context.Context, rows []QARow, questions []Question, atOnce int, ask Asking, done func()) error {
	var mu sync.Mutex // of a and done
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(atOnce)
	for _, q := range questions {
		for _, r := range rows {
			mu.Lock()
			_, there := a.of(r, q)
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
				start := time.Now()
				answer, err := ask(ctx, r, q)
				if err != nil {
					return fmt.Errorf("question %s, row %s: %w", q.ID, r, err)
				}
				answer.Row, answer.ID, answer.MS = r.String(), q.ID, float64(time.Since(start))/float64(time.Millisecond)
				answer.judge(q.Answers)
				mu.Lock()
				defer mu.Unlock()
				defer done()
				return a.add(answer)
			})
		}
	}
	return workers.Wait()
}
