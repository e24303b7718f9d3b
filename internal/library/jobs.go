package library

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// jobs are the documents that are on their way into indexes, the first first. One
// goroutine takes them up, some of one index at a time: reading documents is to leave
// the processors to those who are answered meanwhile.
type jobs struct {
	mu     sync.Mutex
	queue  []job
	wake   chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

type job struct {
	x *index
	d *Document
}

// batch is how many documents make one change of an index.
const batch = 10

// startJobs takes up what is to be done, and what was left to be.
func (l *Library) startJobs() error {
	j := &l.jobs
	j.wake, j.ended = make(chan struct{}, 1), make(chan struct{})
	for _, x := range l.indexes {
		if err := l.resume(x); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	j.cancel = cancel
	go func() {
		defer close(j.ended)
		for {
			if x, documents := j.next(); x != nil {
				l.takeUp(ctx, x, documents)
				if ctx.Err() != nil {
					return
				}
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-j.wake:
			}
		}
	}()
	return nil
}

// resume queues the documents of an index that are to be dealt with: those that a process
// left when it ended, and those that the index has lost since, as when it was made again.
func (l *Library) resume(x *index) error {
	if len(x.documents) == 0 {
		return nil
	}
	r, err := l.Acquire(x.name)
	if err != nil {
		return err
	}
	defer r.Release()
	documents := slices.SortedFunc(maps.Values(x.documents), func(a, b *Document) int { return a.Added.Compare(b.Added) })
	for _, d := range documents {
		if d.State == Completed {
			_, has, err := x.source(r.s.several.Parts()[0].Index, d)
			if err != nil {
				return err
			}
			if !has {
				d.State = Queued
			}
		}
		if d.State == Queued || d.State == removing {
			l.jobs.add(x, d)
		}
	}
	return nil
}

// stopJobs ends the job under way; its documents are on their way still.
func (l *Library) stopJobs() {
	l.jobs.cancel()
	<-l.jobs.ended
}

// add puts a document at the end of the queue.
func (j *jobs) add(x *index, d *Document) {
	j.mu.Lock()
	j.queue = append(j.queue, job{x, d})
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default: // it is awake
	}
}

// withdraw takes a document out of the queue and reports whether it was there.
func (j *jobs) withdraw(d *Document) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.queue, func(q job) bool { return q.d == d })
	if at < 0 {
		return false
	}
	j.queue = slices.Delete(j.queue, at, at+1)
	return true
}

// next takes the first document out of the queue with others of its index, in order.
func (j *jobs) next() (x *index, documents []*Document) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rest := j.queue[:0]
	for _, q := range j.queue {
		if x == nil {
			x = q.x
		}
		if q.x == x && len(documents) < batch {
			documents = append(documents, q.d)
		} else {
			rest = append(rest, q)
		}
	}
	clear(j.queue[len(rest):])
	j.queue = rest
	return x, documents
}

// takeUp makes one change of an index, and says what became of the documents.
func (l *Library) takeUp(ctx context.Context, x *index, documents []*Document) {
	x.writing.Lock() // change gives it back
	x.mu.Lock()
	documents = slices.DeleteFunc(documents, func(d *Document) bool { return x.documents[d.File] != d }) // dealt with meanwhile
	x.mu.Unlock()
	if x.removed || len(documents) == 0 {
		x.writing.Unlock()
		return
	}
	if err := l.change(ctx, x, documents, true); err != nil && ctx.Err() == nil {
		l.o.Warn(err)
	}
}
