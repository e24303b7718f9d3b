package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const searching = `"tools": [{"type": "file_search", "vector_store_ids": ["notes"]}], "flashback": {"k": 2}`

// toldResponse is what tests read of a response.
type toldResponse struct {
	Status string
	Error  *struct{ Code, Message string }
	Output []struct {
		Type, Status, Role string
		Queries            []string
		Results            []searchResult
		Content            []outputText
	}
	Incomplete map[string]string `json:"incomplete_details"`
	Usage      struct {
		Input   int `json:"input_tokens"`
		Output  int `json:"output_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"input_tokens_details"`
	}
	Flashback struct {
		Strides []strideReport
	}
}

func respond(t *testing.T, m *fake, body string) toldResponse {
	t.Helper()
	w := post(serve(t, m), "/v1/responses", body)
	var told toldResponse
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || w.Code != 200 {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	return told
}

// A response tells what was looked up, the answer, and which part of it was written in
// sight of which file's passage.
func TestResponse(t *testing.T) {
	m := &fake{text: "it is so"}
	told := respond(t, m, `{"model": "tiny", "input": "Where?", "instructions": "Be brief.", "include": ["file_search_call.results"], `+searching+`}`)
	if m.asked[0].Role != "system" || m.asked[0].Content != "Be brief." || m.asked[1].Content != "Where?" || m.closed != 1 {
		t.Errorf("the model is asked %v", m.asked)
	}
	if len(told.Output) != 2 || told.Output[0].Type != "file_search_call" || told.Output[1].Type != "message" || told.Status != "completed" {
		t.Fatalf("%+v", told)
	}
	found := told.Output[0].Results
	if len(found) != 2 || found[0].Filename != "a.md" || found[0].Text != "They hang behind the door." || found[0].Score != 2 {
		t.Errorf("found %+v", found)
	}
	text := told.Output[1].Content[0]
	if text.Text != "it is so" {
		t.Errorf("it says %q", text.Text)
	}
	var cited []string
	for _, c := range text.Annotations {
		cited = append(cited, fmt.Sprintf("%s %s [%d:%d] %d", c.Filename, c.Passage, c.StartIndex, c.EndIndex, c.Index))
	}
	want := []string{"a.md psg_a [0:4] 4", "b psg_b [0:4] 4", "a.md psg_a [4:8] 8", "b psg_b [4:8] 8"}
	if !slices.Equal(cited, want) {
		t.Errorf("cited %q, want %q", cited, want)
	}
	if told.Usage.Output != 8 || told.Usage.Details.Cached != 4 || len(told.Flashback.Strides) != 2 {
		t.Errorf("%+v", told)
	}
}

// Nothing is looked up, nor told of, without an index or where the client says so.
func TestResponseWithoutIndex(t *testing.T) {
	for _, body := range []string{
		`{"model": "tiny", "input": "Where?"}`,
		`{"model": "tiny", "input": "Where?", "tool_choice": "none", "tools": [{"type": "file_search", "vector_store_ids": ["notes"]}]}`,
	} {
		told := respond(t, &fake{text: "there"}, body)
		if len(told.Output) != 1 || told.Output[0].Content[0].Text != "there" || len(told.Output[0].Content[0].Annotations) != 0 {
			t.Errorf("%s: %+v", body, told)
		}
	}
}

// The items of a response can be sent back as they came, before the next question.
func TestResponseConversation(t *testing.T) {
	m := &fake{text: "yes"}
	respond(t, m, `{"model": "tiny@notes", "input": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "input_text", "text": "Where "}, {"type": "input_text", "text": "is it?"}]},
		{"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["q"], "results": null},
		{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "There.", "annotations": []}]}, {"role": "user", "content": "Sure?"}]}`)
	var got []string
	for _, a := range m.asked {
		got = append(got, a.Role+": "+a.Content)
	}
	if want := []string{"system: Be brief.", "user: Where is it?", "assistant: There.", "user: Sure?"}; !slices.Equal(got, want) {
		t.Errorf("the model is asked %q, want %q", got, want)
	}
}

// A maximum of results is one of passages a retrieval, up to what the loop takes.
func TestResponseMaximum(t *testing.T) {
	for results, want := range map[int]int{3: 3, 50: maxPassages} {
		m := &fake{text: "yes"}
		respond(t, m, fmt.Sprintf(`{"model": "tiny", "input": "Where?", "tools": [{"type": "file_search", "vector_store_ids": ["notes"], "max_num_results": %d}]}`, results))
		if m.request.Passages != want {
			t.Errorf("%d: %d passages", results, m.request.Passages)
		}
	}
}

// responseEvents returns the events of a stream, each of whose names is its type and each
// of whose numbers counts.
func responseEvents(t *testing.T, stream string) (types []string, events []map[string]json.RawMessage) {
	t.Helper()
	for i, event := range strings.Split(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(event, "\ndata: ")
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(data), &fields); err != nil || !ok {
			t.Fatalf("%v: %s", err, event)
		}
		if string(fields["sequence_number"]) != fmt.Sprint(i) || `"`+strings.TrimPrefix(name, "event: ")+`"` != string(fields["type"]) {
			t.Errorf("event %d: %s", i, event)
		}
		types, events = append(types, strings.TrimPrefix(name, "event: response.")), append(events, fields)
	}
	return types, events
}

// A stream has the events of OpenAI's API in their order, and its last one what is
// answered without a stream.
func TestResponseStream(t *testing.T) {
	w := post(serve(t, &fake{text: "it is"}), "/v1/responses", `{"model": "tiny", "input": "Where?", "stream": true, "top_logprobs": 1, `+searching+`}`)
	types, events := responseEvents(t, w.Body.String())
	delta := func(n int) []string { return slices.Repeat([]string{"output_text.delta"}, n) }
	want := slices.Concat([]string{"created", "in_progress", "output_item.added", "file_search_call.in_progress", "file_search_call.searching", "file_search_call.completed", "output_item.done",
		"output_item.added", "content_part.added"}, delta(4), []string{"output_text.annotation.added", "output_text.annotation.added"}, delta(1),
		[]string{"output_text.annotation.added", "output_text.annotation.added", "output_text.done", "content_part.done", "output_item.done", "completed"})
	if !slices.Equal(types, want) {
		t.Errorf("events %q\nwant %q", types, want)
	}
	var last toldResponse
	if err := json.Unmarshal(events[len(events)-1]["response"], &last); err != nil {
		t.Fatal(err)
	}
	whole := respond(t, &fake{text: "it is"}, `{"model": "tiny", "input": "Where?", "top_logprobs": 1, `+searching+`}`)
	if !reflect.DeepEqual(last, whole) {
		t.Errorf("a stream ends with %+v\nwithout one it is %+v", last, whole)
	}
	if text := whole.Output[1].Content[0]; len(text.Logprobs) != len(text.Text) {
		t.Errorf("%d logprobs of %q", len(text.Logprobs), text.Text)
	}
}

// What is cut off says so.
func TestResponseIncomplete(t *testing.T) {
	m := &fake{text: "it is", cut: true}
	told := respond(t, m, `{"model": "tiny", "input": "Where?", "max_output_tokens": 5}`)
	if told.Status != "incomplete" || told.Incomplete["reason"] != "max_output_tokens" || told.Output[0].Status != "incomplete" {
		t.Errorf("%+v", told)
	}
	w := post(serve(t, m), "/v1/responses", `{"model": "tiny", "input": "Where?", "stream": true}`)
	if types, _ := responseEvents(t, w.Body.String()); types[len(types)-1] != "incomplete" {
		t.Errorf("events %q", types)
	}
}

// What fails before there is anything to tell is an answer of its own, later it is an event.
func TestResponseFailure(t *testing.T) {
	w := post(serve(t, &fake{text: "it is"}, func(o *Options) { o.Library = &shelf{err: errors.New("gone")} }), "/v1/responses", `{"model": "tiny@notes", "input": "Where?", "stream": true}`)
	if w.Code != 502 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = post(serve(t, &fake{text: "it is", err: errors.New("broken")}), "/v1/responses", `{"model": "tiny@notes", "input": "Where?", "stream": true}`)
	types, events := responseEvents(t, w.Body.String())
	var last toldResponse
	json.Unmarshal(events[len(events)-1]["response"], &last)
	if types[len(types)-1] != "failed" || last.Status != "failed" || last.Error == nil || !strings.HasPrefix(last.Error.Message, "the server has failed") {
		t.Errorf("events %q: %+v", types, last)
	}
}
