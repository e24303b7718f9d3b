package peer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxEvent bounds an event of a stream, in bytes.
const maxEvent = 4 << 20

// lastWord is how long the end of a stream is waited for, which says what the prompt
// took, when no more of its tokens are wanted.
const lastWord = 250 * time.Millisecond

var (
	errSilent = errors.New("it has said nothing for too long: it hangs, or reads a prompt slowly (--engine-silence)")
	errLeft   = errors.New("no more is wanted")
)

// complete has the peer continue a prompt and calls accept with each token as it comes,
// until accept says to stop.
func (e *Engine) complete(ctx context.Context, r *request, accept func(int32) bool) (usage, error) {
	var last usage
	n, stopped := 0, false
	for !stopped && n < r.n {
		rest := *r
		rest.n -= n
		taken := 0
		u, missing, err := e.stream(ctx, &rest, func(token int32) bool {
			taken++
			r.prompt = append(r.prompt, token) // for what has to be asked again
			stopped = accept(token)
			return stopped
		})
		if n == 0 {
			last = u // later prompts are longer
		}
		n += taken
		if r.slot == nil {
			r.slot = rest.slot
		}
		if err != nil {
			return last, err
		}
		if !missing {
			break
		}
		r.whole = true
	}
	return last, nil
}

// stream sends one request. missing tells that ids are lacking behind the tokens that
// were accepted: what follows these has to be asked for again.
func (e *Engine) stream(ctx context.Context, r *request, accept func(int32) bool) (u usage, missing bool, err error) {
	path, body, err := e.dialect.ask(e, r)
	if err != nil {
		return u, false, fmt.Errorf("%s: %w", e, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errLeft)
	silent := time.AfterFunc(e.silence, func() { cancel(errSilent) })
	defer silent.Stop()
	response, err := e.client.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return u, false, e.broken(ctx, err)
	}
	defer response.Body.Close()
	prompt, n, left := len(r.prompt), 0, false
	events := newEvents(response.Body)
	for {
		data, err := events.next()
		switch {
		case left && err != nil:
			return u, false, nil
		case errors.Is(err, io.EOF):
			return u, false, e.failed(errors.New("the stream broke off before its end"))
		case err != nil:
			return u, false, e.broken(ctx, err)
		}
		if !left {
			silent.Reset(e.silence)
		}
		ev, err := e.dialect.read(data, n)
		if err == nil {
			err = ev.usage.check(prompt)
		}
		if err != nil {
			return u, false, e.failed(err)
		}
		if ev.usage.told {
			u = ev.usage
		}
		if ev.slot != nil {
			r.slot = ev.slot
		}
		if ev.missing && !left {
			return u, true, nil
		}
		for _, token := range ev.tokens {
			if left {
				break
			}
			if token < 0 || int(token) >= e.Vocab {
				return u, false, e.failed(fmt.Errorf("it wrote the token %d, which it does not have", token))
			}
			if n++; n > r.n {
				return u, false, e.failed(fmt.Errorf("it wrote more than the %d tokens that were asked for", r.n))
			}
			left = accept(token)
		}
		switch {
		case ev.end:
			return u, false, nil
		case left && u.told:
			return u, false, nil
		case left:
			silent.Reset(lastWord)
		}
	}
}

// broken says why an exchange did not come to its end.
func (e *Engine) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return e.failed(errSilent)
	} else if cause != nil {
		return cause // whoever asked has gone
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the stream broke off before its end")
	}
	return e.failed(err)
}

// events reads the data of server-sent events, or one JSON object where that came instead.
type events struct {
	lines *bufio.Scanner
	begun bool
}

func newEvents(r io.Reader) *events {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxEvent)
	return &events{lines: s}
}

// next returns the data of the next event; io.EOF: there is none.
func (e *events) next() ([]byte, error) {
	for e.lines.Scan() {
		line := bytes.TrimSpace(e.lines.Bytes())
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0 || line[0] == ':':
		case !e.begun && line[0] == '{':
			e.begun = true
			return line, nil
		case ok && (string(name) == "data" || string(name) == "error"):
			e.begun = true
			return bytes.TrimSpace(value), nil
		}
	}
	if err := e.lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("an event of more than %d MiB", maxEvent>>20)
	} else if err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// failure is how all of these servers say in a stream that something went wrong.
type failure struct {
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
	Message string `json:"message"` // of a bare error
	Object  string `json:"object"`
}

// parse reads an event into v, or the error that it is.
func parse(data []byte, v any) error {
	var f failure
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("an event is no JSON object: %s", shorten(data))
	}
	if f.Error != nil {
		return errors.New(f.Error.Message)
	}
	if f.Object == "error" {
		return errors.New(f.Message)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("an event is not what such a server gives: %w", err)
	}
	return nil
}
