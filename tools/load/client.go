package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// object is one of JSON.
type object map[string]any

// reply is what came of a request.
type reply struct {
	status int    // of HTTP
	code   string // of the error, if it is one
	text   string
	finish string
	prompt int         // tokens
	cached int         // of the prompt
	tokens []time.Time // when each piece of text came
	sent   time.Time
}

// declared reports whether the server refused the request in a way that it declares. One
// that waits for long has pings meanwhile, so that its refusal is an event.
func (r *reply) declared() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable || r.code == "queue_timeout" && r.text == ""
}

// ask streams an answer. The error is a fault: of the connection, or of what came by it.
func (s *server) ask(ctx context.Context, path string, body object) (*reply, error) {
	body["stream"], body["stream_options"] = true, object{"include_usage": true}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", s.url+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	r := &reply{sent: time.Now()}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	r.status = answer.StatusCode
	if r.status != http.StatusOK {
		var said struct {
			Error struct{ Code, Message string }
		}
		text, _ := io.ReadAll(answer.Body)
		json.Unmarshal(text, &said)
		if r.code = said.Error.Code; !r.declared() {
			return r, fmt.Errorf("status %d: %s", r.status, text)
		}
		return r, nil
	}
	done := false
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var event struct {
			Choices []struct {
				Text   string
				Delta  struct{ Content string }
				Finish string `json:"finish_reason"`
			}
			Usage *struct {
				Prompt  int `json:"prompt_tokens"`
				Details struct {
					Cached int `json:"cached_tokens"`
				} `json:"prompt_tokens_details"`
			}
			Error *struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return r, fmt.Errorf("an event is no JSON: %w: %s", err, data)
		}
		if event.Error != nil {
			if r.code = event.Error.Code; r.declared() {
				return r, nil
			}
			return r, fmt.Errorf("in the middle: %s: %s", event.Error.Code, event.Error.Message)
		}
		for _, c := range event.Choices {
			if text := c.Text + c.Delta.Content; text != "" {
				r.text += text
				r.tokens = append(r.tokens, time.Now())
			}
			r.finish += c.Finish
		}
		if event.Usage != nil {
			r.prompt, r.cached = event.Usage.Prompt, event.Usage.Details.Cached
		}
	}
	if !done || r.finish == "" {
		return r, fmt.Errorf("the stream ended without an end: finish %q", r.finish)
	}
	return r, nil
}

// props returns a number that /props tells.
func (s *server) props(name string) int {
	var all map[string]any
	s.get("/props", &all)
	n, _ := all[name].(float64)
	return int(n)
}

// goroutines returns how many the server has, by its metrics.
func (s *server) goroutines() (n int) {
	answer, err := client.Get(s.url + "/metrics")
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			fmt.Sscan(value, &n)
		}
	}
	return n
}

func (s *server) get(path string, v any) {
	if answer, err := client.Get(s.url + path); err == nil {
		json.NewDecoder(answer.Body).Decode(v)
		answer.Body.Close()
	}
}

// quantile returns the value that a share of all are not above.
func quantile(values []time.Duration, share float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(share*float64(len(values))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
