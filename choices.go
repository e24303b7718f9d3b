package flashback

import (
	"context"
	"iter"
	"sync"

	"github.com/flashback-lm/flashback/internal/ralm"
)

// Choice is an event of one of several texts that go on from one prompt.
type Choice struct {
	Index int // of the text, from 0
	Event
}

// Choices is Stream for n texts that go on from the same prompt and share its keys and
// values. Each has a seed of its own, one greater than that of the text before it, so the
// first is the one that Stream writes. They are written side by side, and their events
// come in whatever order they happen; the first error ends them all. The first one's
// Finish counts what was computed for all of them.
func (e *Engine) Choices(ctx context.Context, r Request, n int) iter.Seq2[Choice, error] {
	return func(yield func(Choice, error) bool) {
		o, err := e.loop(r, false)
		if err != nil {
			yield(Choice{}, err)
			return
		}
		seq := e.backend.newSequence()
		defer seq.Close()
		if err := seq.apply(r); err != nil {
			yield(Choice{}, err)
			return
		}
		prompt := e.prompt(r, o.Sink)
		if n > 1 && o.Sink >= 0 {
			prompt = append([]int32{o.Sink}, prompt...)
		}
		e.write(ctx, seq, prompt, r, o, n, yield)
	}
}

// write writes n texts behind what the sequence has and the prompt: the first is its own,
// the others are of forks.
func (e *Engine) write(ctx context.Context, seq sequence, prompt []int32, r Request, o ralm.Options, n int, yield func(Choice, error) bool) {
	if n == 1 {
		for event, err := range e.generate(ctx, seq, prompt, r, o) {
			if !yield(Choice{Event: event}, err) {
				return
			}
		}
		return
	}
	before := seq.Counts()
	err := seq.Append(prompt...)
	if err == nil { // what no evidence changes is read once for all
		text := seq.Len()
		err = seq.Encode(ctx, o.Placement.ForTurn(text, o.Turn).Layout(text, []int{1}).Context)
	}
	if err != nil {
		yield(Choice{}, err)
		return
	}
	shared := seq.Counts().Sub(before)
	texts := make([]iter.Seq2[Event, error], n)
	for i := range texts {
		of := seq
		if i > 0 {
			of = seq.fork()
			defer of.Close()
			again := r.Sampling
			again.Seed += uint64(i)
			if o.Sampler, err = again.sampler(); err != nil {
				yield(Choice{}, err)
				return
			}
		}
		texts[i] = e.generate(ctx, of, nil, r, o)
	}
	sideBySide(texts, func(c Choice, err error) bool {
		if f, ok := c.Event.(Finish); ok && c.Index == 0 {
			f.Counts.Add(shared)
			c.Event = f
		}
		return yield(c, err)
	})
}

// generate writes one text.
func (e *Engine) generate(ctx context.Context, seq sequence, prompt []int32, r Request, o ralm.Options) iter.Seq2[Event, error] {
	return ralm.New(seq, e.tokenizer, e.looksIn(r)).Generate(ctx, prompt, o)
}

// sideBySide reads texts, each in a goroutine of its own, until all have ended, one has
// failed or yield returns false.
func sideBySide(texts []iter.Seq2[Event, error], yield func(Choice, error) bool) {
	type said struct {
		Choice
		err error
	}
	events, deserted := make(chan said), make(chan struct{})
	var writing sync.WaitGroup
	for i, text := range texts {
		writing.Go(func() {
			for event, err := range text {
				select {
				case events <- said{Choice{i, event}, err}:
				case <-deserted:
					return
				}
			}
		})
	}
	go func() {
		writing.Wait()
		close(events)
	}()
	for s := range events {
		if !yield(s.Choice, s.err) || s.err != nil {
			close(deserted)
			writing.Wait()
			return
		}
	}
}
