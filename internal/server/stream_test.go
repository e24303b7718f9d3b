package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader takes what is written to it at its own pace: each write waits for the deadline
// that was set or for the reader.
type reader struct {
	mu       sync.Mutex
	header   http.Header
	got      bytes.Buffer
	pace     time.Duration // for a write; less than 0: none is taken
	deadline time.Time
}

func (r *reader) Header() http.Header { return r.header }
func (r *reader) WriteHeader(int)     {}
func (r *reader) Flush()              {}

func (r *reader) SetWriteDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	return nil
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	left := time.Until(r.deadline)
	r.mu.Unlock()
	if r.pace < 0 || r.pace > left {
		time.Sleep(left)
		return 0, errors.New("i/o timeout")
	}
	time.Sleep(r.pace)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(p)
}

// A stream that says nothing pings; one that does, does not.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{header: http.Header{}}
		e := newEvents(r, &Options{StreamBuffer: 64, StreamTime: time.Second, Ping: 15 * time.Second}, func(error) {})
		if e.begun() {
			t.Error("it has begun before anything was sent")
		}
		time.Sleep(31 * time.Second)
		if !e.begun() {
			t.Error("it has not begun with a ping")
		}
		for range 4 {
			e.send(1)
			time.Sleep(10 * time.Second)
		}
		e.done()
		e.close()
		want := ": ping\n\n: ping\n\n" + strings.Repeat("data: 1\n\n", 4) + "data: [DONE]\n\n"
		if got := r.got.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// A reader that is slow has what it reads, and holds the writing of the text up only where
// the buffer is full; one that takes nothing is given up in time.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := strings.Repeat("x", 100)
		slow := &reader{header: http.Header{}, pace: 2 * time.Second}
		e := newEvents(slow, &Options{StreamBuffer: 1000, StreamTime: 30 * time.Second, Ping: time.Minute}, func(error) { t.Error("the slow reader was given up") })
		start := time.Now()
		for range 5 {
			if err := e.send(data); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("sending what the buffer holds took %v", took)
		}
		for range 30 {
			if err := e.send(data); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took < 2*time.Second {
			t.Errorf("sending more than the buffer holds took %v", took)
		}
		e.close()
		if n := strings.Count(slow.got.String(), data); n != 35 {
			t.Errorf("%d of 35 events came", n)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		e = newEvents(&reader{header: http.Header{}, pace: -1}, &Options{StreamBuffer: 1000, StreamTime: 30 * time.Second, Ping: time.Minute}, cancel)
		start = time.Now()
		var err error
		for err == nil {
			err = e.send(data)
		}
		if took := time.Since(start); took != 30*time.Second || !errors.Is(context.Cause(ctx), errGone) {
			t.Errorf("a reader that takes nothing was given up after %v, because %v", took, context.Cause(ctx))
		}
		e.close()
	})
}
