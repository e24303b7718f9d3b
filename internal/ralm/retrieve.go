package ralm

import (
	"context"
	"fmt"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// patience is how long the loop does nothing but wait for passages. A local index
// answers sooner; one forward for text and evidence then costs less than two.
const patience = time.Millisecond

// answer is what a retriever said, and how long it took.
type answer struct {
	found []retrieve.Passage
	took  time.Duration
	err   error
}

// retrieve asks the retriever. While a slow one is at work the context is encoded; text
// that is read in sight of the evidence has to wait for it.
func (r *run) retrieve(ctx context.Context, q retrieve.Query) (answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		start := time.Now()
		found, err := r.retriever.Retrieve(ctx, q)
		answers <- answer{found, time.Since(start), err}
	}()
	var late <-chan time.Time
	// What no evidence changes, if there is any: its KV is the same whatever the answer.
	plain := r.o.Placement.ForTurn(len(r.text), r.o.Turn).Layout(len(r.text), []int{1}).Context
	if plain > 1 {
		late = time.After(patience)
	}
	var a answer
	select {
	case a = <-answers:
	case <-late:
		err := r.sequence.Encode(ctx, plain)
		if err != nil {
			cancel()
		}
		a = <-answers // in any case: the caller may close a retriever that nobody asks
		if err != nil {
			return a, err
		}
	}
	if a.err != nil {
		return a, fmt.Errorf("looking passages up: %w", a.err)
	}
	return a, nil
}
