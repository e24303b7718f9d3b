package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// stream runs a job and sends what it writes as server-sent events. Until the first of
// them, or the first ping, an error is an answer of its own; from then on it is an event.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, j *job) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	events := newEvents(w, s.o, cancel)
	roles := make([]bool, j.choices)
	used, err := s.follow(ctx, j, func(p part) error {
		p.usages = j.asked.usage()
		if p.index >= 0 && j.chat && !roles[p.index] {
			roles[p.index] = true
			if err := events.send(j.shape.event(part{index: p.index, role: true, usages: p.usages})); err != nil {
				return err
			}
		}
		return events.send(j.shape.event(p))
	})
	switch {
	case errors.Is(err, errGone):
	case err != nil && !events.begun():
		events.close()
		return err
	case err != nil:
		events.send(map[string]any{"error": asError(err)})
	default:
		if j.asked.usage() {
			events.send(j.shape.event(part{index: -1, usage: used, usages: true}))
		}
		events.done()
	}
	events.close()
	return nil
}

// events writes server-sent events for a reader that may be slow: what it has not taken
// yet waits in a buffer of bounded size, and then the writing of the text does, until the
// reader takes some or has taken none for so long that it is given up.
type events struct {
	w        http.ResponseWriter
	kind     string // Content-Type
	comment  string // a ping; "": the kind has none
	control  *http.ResponseController
	limit    int           // bytes of the buffer
	patience time.Duration // for a piece to be taken
	ping     time.Duration
	give     context.CancelCauseFunc // gives the reader up

	mu      sync.Mutex
	changed *sync.Cond
	buffer  []byte
	started bool // the answer's head is sent, or is about to be
	ending  bool
	err     error
	more    chan struct{} // there is something to write, or the end
	ended   chan struct{}
}

func newEvents(w http.ResponseWriter, o *Options, give context.CancelCauseFunc) *events {
	return newFlow(w, "text/event-stream; charset=utf-8", ": ping\n\n", o, give)
}

// newLines returns events that are lines of JSON instead.
func newLines(w http.ResponseWriter, o *Options, give context.CancelCauseFunc) *events {
	return newFlow(w, "application/x-ndjson", "", o, give)
}

func newFlow(w http.ResponseWriter, kind, comment string, o *Options, give context.CancelCauseFunc) *events {
	e := &events{
		w: w, kind: kind, comment: comment, control: http.NewResponseController(w), limit: o.StreamBuffer, patience: o.StreamTime, ping: o.Ping, give: give,
		more: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	e.changed = sync.NewCond(&e.mu)
	go e.write()
	return e
}

// begun reports whether anything was sent.
func (e *events) begun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started
}

// send sends a value as an event.
func (e *events) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.append("data: ", data, "\n\n")
}

// sendLine sends a value as a line.
func (e *events) sendLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.append("", data, "\n")
}

// sendAs sends a value as an event of that name.
func (e *events) sendAs(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.append("event: "+name+"\ndata: ", data, "\n\n")
}

// done sends the event that ends a stream.
func (e *events) done() { e.append("data: ", []byte("[DONE]"), "\n\n") }

// append appends to the buffer when there is room.
func (e *events) append(before string, data []byte, after string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.err == nil && len(e.buffer) > 0 && len(e.buffer)+len(data) > e.limit {
		e.changed.Wait()
	}
	if e.err != nil {
		return e.err
	}
	e.started = true
	e.buffer = append(append(append(e.buffer, before...), data...), after...)
	e.wake()
	return nil
}

func (e *events) wake() {
	select {
	case e.more <- struct{}{}:
	default:
	}
}

// close ends the stream when all that was sent is written.
func (e *events) close() {
	e.mu.Lock()
	e.ending = true
	e.wake()
	e.mu.Unlock()
	<-e.ended
}

// pieceBytes is how much a reader must take within the time that it is given.
const pieceBytes = 4 << 10

// write writes what is sent, and pings while there is nothing.
func (e *events) write() {
	defer close(e.ended)
	ticker := time.NewTicker(e.ping)
	defer ticker.Stop()
	head := false
	for {
		ping := false
		select {
		case <-e.more:
			ticker.Reset(e.ping)
		case <-ticker.C:
			ping = true
		}
		e.mu.Lock()
		if ping && e.comment != "" && len(e.buffer) == 0 && !e.ending {
			e.started = true
			e.buffer = append(e.buffer, e.comment...)
		}
		data, ending := e.buffer, e.ending
		e.buffer = nil
		e.changed.Broadcast()
		e.mu.Unlock()
		if !head && len(data) > 0 {
			h := e.w.Header()
			h.Set("Content-Type", e.kind)
			h.Set("Cache-Control", "no-cache")
			h.Set("X-Accel-Buffering", "no")
			h.Set("X-Content-Type-Options", "nosniff")
			head = true
		}
		if err := e.pieces(data); err != nil {
			e.mu.Lock()
			e.err = err
			e.changed.Broadcast()
			e.mu.Unlock()
			e.give(errGone)
			return
		}
		if ending {
			return
		}
	}
}

// pieces writes data piece by piece, each within the reader's time.
func (e *events) pieces(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	for len(data) > 0 {
		n := min(len(data), pieceBytes)
		if err := e.control.SetWriteDeadline(time.Now().Add(e.patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := e.w.Write(data[:n]); err != nil {
			return err
		}
		if err := e.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		data = data[n:]
	}
	if err := e.control.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
