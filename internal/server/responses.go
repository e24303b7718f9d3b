package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flashback-lm/flashback"
)

// responses is POST /v1/responses.
func (s *Server) responses(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body responseBody
	if err := s.decode(w, r, &body, refusedInResponses); err != nil {
		return err
	}
	chat, messages, err := body.chat()
	if err != nil {
		return err
	}
	j, err := s.answering(k, chat, messages, s.base(r))
	if err != nil {
		if len(body.Tools) > 0 {
			err = renamed(err, "flashback.indexes", "tools")
		}
		return renamed(err, "messages", "input")
	}
	defer j.release()
	a := newResponse(s, &body, j, chat.Logprobs)
	j.looked = a.looked
	if body.Stream {
		return a.stream(w, r)
	}
	if err := a.write(r.Context()); err != nil {
		return renamed(err, "messages", "input")
	}
	writeJSON(w, http.StatusOK, a.responseObject)
	return nil
}

// response is an answer of /v1/responses while it is written: items of output, of which
// the first tells what the question found, where passages are looked up, and the last is
// the message.
type response struct {
	responseObject
	s        *Server
	job      *job
	logprobs bool // they are asked for
	results  bool // so are the passages that the question found
	send     func(name string, event object) error
	sequence int // of the next event
	search   *searchItem
	message  *messageItem
	text     strings.Builder
}

func newResponse(s *Server, body *responseBody, j *job, logprobs bool) *response {
	a := &response{s: s, job: j, logprobs: logprobs, results: slices.Contains(body.Include, includeResults),
		send: func(string, object) error { return nil }}
	a.responseObject = responseObject{
		ID: newID("resp_"), Object: "response", CreatedAt: time.Now().Unix(), Status: "in_progress", Model: body.Model,
		Instructions: orNull(body.Instructions), MaxOutputTokens: body.MaxOutputTokens, Output: []any{},
		Temperature: j.plan.Sampling.Temperature, TopP: 1, TopLogprobs: j.plan.Likeliest,
		Tools: append([]searchTool{}, body.Tools...), ToolChoice: "auto", ParallelToolCalls: true,
		Text: object{"format": object{"type": "text"}}, Reasoning: object{"effort": nil, "summary": nil}, Truncation: "disabled",
		Metadata: body.Metadata, Flashback: &extra{},
	}
	if body.TopP != nil {
		a.TopP = *body.TopP
	}
	if body.ToolChoice != "" {
		a.ToolChoice = body.ToolChoice
	}
	if a.Metadata == nil {
		a.Metadata = map[string]string{}
	}
	return a
}

// write writes the answer.
func (a *response) write(ctx context.Context) error {
	used, err := a.s.follow(ctx, a.job, a.add)
	if err != nil {
		return err
	}
	return a.finish(used)
}

// looked tells what the question found. What later strides look up is told by citations
// and by the object flashback.
func (a *response) looked(stride flashback.Stride) error {
	if err := a.begin(); err != nil || a.job.lookUp == nil || a.search != nil {
		return err
	}
	a.search = &searchItem{ID: newID("fs_"), Type: "file_search_call", Status: "in_progress", Queries: []string{}}
	a.Output = append(a.Output, a.search)
	id := object{"item_id": a.search.ID, "output_index": 0}
	if err := a.event("response.output_item.added", object{"output_index": 0, "item": *a.search}); err != nil {
		return err
	}
	if err := a.event("response.file_search_call.in_progress", id); err != nil {
		return err
	}
	if err := a.event("response.file_search_call.searching", id); err != nil {
		return err
	}
	if a.search.Status = "completed"; stride.Query != "" {
		a.search.Queries = append(a.search.Queries, stride.Query)
	}
	if a.results {
		a.search.Results = []searchResult{}
	}
	for i := range stride.Passages {
		if a.results {
			p := &stride.Passages[i]
			index, _ := a.job.lookUp.Cite(p.Passage)
			r := searchResult{Score: p.Score, Text: p.Text, Attributes: map[string]string{}}
			r.File, r.Filename = a.s.fileOf(index, p.Source)
			a.search.Results = append(a.search.Results, r)
		}
	}
	if err := a.event("response.file_search_call.completed", id); err != nil {
		return err
	}
	return a.event("response.output_item.done", object{"output_index": 0, "item": *a.search})
}

// begin tells that there is an answer, once.
func (a *response) begin() error {
	if a.sequence > 0 {
		return nil
	}
	if err := a.event("response.created", object{"response": a.responseObject}); err != nil {
		return err
	}
	return a.event("response.in_progress", object{"response": a.responseObject})
}

// open begins the message, once.
func (a *response) open() error {
	if err := a.begin(); err != nil || a.message != nil {
		return err
	}
	a.message = &messageItem{ID: newID("msg_"), Type: "message", Status: "in_progress", Role: "assistant", Content: []outputText{}}
	if err := a.event("response.output_item.added", object{"output_index": len(a.Output), "item": *a.message}); err != nil {
		return err
	}
	a.Output = append(a.Output, a.message)
	a.message.Content = append(a.message.Content, outputText{Type: "output_text", Annotations: []fileCitation{}, Logprobs: []object{}})
	return a.event("response.content_part.added", a.inPart(object{"part": a.message.Content[0]}))
}

// inPart adds to an event which part of which item it is about.
func (a *response) inPart(event object) object {
	event["item_id"], event["output_index"], event["content_index"] = a.message.ID, len(a.Output)-1, 0
	return event
}

// add adds what is new.
func (a *response) add(p part) error {
	if err := a.open(); err != nil {
		return err
	}
	content := &a.message.Content[0]
	if p.finish == "length" {
		a.Incomplete = object{"reason": "max_output_tokens"}
	}
	a.Flashback.add(p)
	logprobs := []object{}
	if a.logprobs {
		logprobs = a.s.logprobs(p.tokens)
	}
	if p.text != "" || len(logprobs) > 0 {
		a.text.WriteString(p.text)
		content.Logprobs = append(content.Logprobs, logprobs...)
		if err := a.event("response.output_text.delta", a.inPart(object{"delta": p.text, "logprobs": logprobs})); err != nil {
			return err
		}
	}
	for _, n := range p.annotations {
		content.Annotations = append(content.Annotations, a.citation(n))
		last := len(content.Annotations) - 1
		if err := a.event("response.output_text.annotation.added", a.inPart(object{"annotation_index": last, "annotation": content.Annotations[last]})); err != nil {
			return err
		}
	}
	return nil
}

// citation says an annotation as a citation of a file.
func (a *response) citation(n annotation) fileCitation {
	index, id := a.job.lookUp.Cite(n.passage)
	c := fileCitation{Type: "file_citation", Index: n.Citation.EndIndex, StartIndex: n.Citation.StartIndex, EndIndex: n.Citation.EndIndex,
		Title: n.Citation.Title, URL: n.Citation.URL, Passage: id}
	c.File, c.Filename = a.s.fileOf(index, n.passage.Source)
	return c
}

// finish ends the answer.
func (a *response) finish(used *usage) error {
	if err := a.open(); err != nil {
		return err
	}
	content := &a.message.Content[0]
	content.Text = a.text.String()
	if err := a.event("response.output_text.done", a.inPart(object{"text": content.Text, "logprobs": content.Logprobs})); err != nil {
		return err
	}
	if err := a.event("response.content_part.done", a.inPart(object{"part": *content})); err != nil {
		return err
	}
	if a.Status = "completed"; a.Incomplete != nil {
		a.Status = "incomplete"
	}
	a.message.Status = a.Status
	if err := a.event("response.output_item.done", object{"output_index": len(a.Output) - 1, "item": *a.message}); err != nil {
		return err
	}
	a.Usage = &responseUsage{Input: used.Prompt, Output: used.Completion, Total: used.Total}
	a.Usage.InputDetails.Cached = used.Details.Cached
	a.CompletedAt = new(time.Now().Unix())
	return a.event("response."+a.Status, object{"response": a.responseObject})
}

// fail ends an answer that something is wrong with.
func (a *response) fail(err error) {
	e := asError(err)
	a.Status, a.Error = "failed", &responseError{e.Code, e.Message}
	a.event("response.failed", object{"response": a.responseObject})
}

// event sends an event with its type and number.
func (a *response) event(name string, event object) error {
	sent := object{"type": name, "sequence_number": a.sequence}
	for field, value := range event {
		sent[field] = value
	}
	a.sequence++
	return a.send(name, sent)
}

// stream sends the answer as server-sent events while it is written.
func (a *response) stream(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	events := newEvents(w, a.s.o, cancel)
	a.send = func(name string, event object) error { return events.sendAs(name, event) }
	err := a.write(ctx)
	switch {
	case err == nil, errors.Is(err, errGone):
	case !events.begun():
		events.close()
		return renamed(err, "messages", "input")
	default:
		a.fail(err)
	}
	events.close()
	return nil
}
