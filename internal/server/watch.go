package server

import (
	"context"
	"errors"
	"time"

	"github.com/flashback-lm/flashback"
)

// watch measures a job, for the metrics and for the log.
type watch struct {
	*metrics
	entry    *entry
	job      *job
	admitted bool
	last     []time.Time // when the last token of each choice came
	strides  []openStride
	spans    *spans
	counts   flashback.Counts
	reason   string
	written  int
}

// openStride is a stride of a choice that has not ended; its beginning is zero where
// there is none.
type openStride struct {
	began     time.Time
	placement string
}

// watch begins to measure a job.
func (s *Server) watch(ctx context.Context, j *job) *watch {
	e := entryOf(ctx)
	e.model, e.stream = j.asked.Model, j.asked.Stream
	return &watch{metrics: s.metrics, entry: e, job: j, last: make([]time.Time, j.choices), strides: make([]openStride, j.choices), spans: s.newSpans(ctx, j.choices)}
}

// queued notes that the job is admitted, or not.
func (w *watch) queued(err error) {
	w.admitted = err == nil
	w.entry.queued = time.Since(w.entry.came)
	w.queue.Observe(w.entry.queued.Seconds())
	w.spans.queue.End()
}

// event notes what is written.
func (w *watch) event(c flashback.Choice) {
	now := time.Now()
	switch e := c.Event.(type) {
	case flashback.Stride:
		w.endStride(c.Index, now)
		w.strides[c.Index] = openStride{now, e.Placement}
		w.spans.stride(c.Index, now, e.Placement, len(e.Passages))
		w.entry.strides++
	case flashback.Token:
		w.spans.token(c.Index, now)
		if last := w.last[c.Index]; !last.IsZero() {
			w.gap.Observe(now.Sub(last).Seconds())
		}
		if w.last[c.Index] = now; w.entry.first == 0 {
			w.entry.first = now.Sub(w.entry.came)
			w.firstToken.Observe(w.entry.first.Seconds())
		}
		w.written++
	case flashback.Finish:
		w.endStride(c.Index, now)
		w.counts.Add(e.Counts)
		w.reason = string(e.Reason)
	}
}

func (w *watch) endStride(choice int, now time.Time) {
	w.spans.end(choice, now)
	if s := &w.strides[choice]; !s.began.IsZero() {
		w.stride.WithLabelValues(s.placement).Observe(now.Sub(s.began).Seconds())
		s.began = time.Time{}
	}
}

// ended notes how the job ended.
func (w *watch) ended(err error) {
	w.spans.ended()
	e := w.entry
	switch {
	case errors.Is(err, errGone):
		e.reason = "cancelled"
		phase := "queued"
		if w.admitted {
			phase = "running"
		}
		w.cancelled.WithLabelValues(phase).Inc()
	case err != nil:
		e.err = asError(err)
		e.reason = e.err.Code
		if w.admitted && errors.Is(err, flashback.ErrFull) {
			w.preemptions.Inc()
		}
	default:
		e.reason = w.reason
	}
	w.requests.WithLabelValues(e.reason).Inc()
	w.whole.Observe(time.Since(e.came).Seconds())
	if !w.admitted {
		return
	}
	e.prompt, e.cached, e.written = w.job.prompt, min(w.counts.PromptReused, w.job.prompt), w.written
	e.evidence, e.evidenceReused = w.counts.Evidence, w.counts.EvidenceReused
	w.counted(w.job.prompt, w.written, w.counts)
}
