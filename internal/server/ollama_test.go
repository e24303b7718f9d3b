package server

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func withOllama(o *Options) { o.Ollama = true }

// ollamaTold is what tests read of a line.
type ollamaTold struct {
	Model     string
	Message   struct{ Role, Content string }
	Response  string
	Done      bool
	Reason    string `json:"done_reason"`
	Prompt    int    `json:"prompt_eval_count"`
	Written   int    `json:"eval_count"`
	Total     int64  `json:"total_duration"`
	Flashback struct{ Strides []strideReport }
	Error     string
}

// ollamaLines sends a body and reads the lines of the answer.
func ollamaLines(t *testing.T, s *Server, path, body string) (lines []ollamaTold) {
	t.Helper()
	w := post(s, path, body)
	if kind := w.Header().Get("Content-Type"); w.Code != 200 || kind != "application/x-ndjson" {
		t.Fatalf("%d %s: %s", w.Code, kind, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		var l ollamaTold
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// A chat is told line by line, the sources behind the answer, and what it took in the last
// line; without a stream it is the same in one.
func TestOllamaChat(t *testing.T) {
	m := &fake{text: "it is so"}
	s := serve(t, m, withOllama)
	body := `{"model": "tiny@notes:latest", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}], "options": {"num_predict": 9, "seed": 5, "num_ctx": 9000}`
	lines := ollamaLines(t, s, "/api/chat", body+`}`)
	var text strings.Builder
	for i, l := range lines {
		text.WriteString(l.Message.Content)
		if l.Done != (i == len(lines)-1) || l.Model != "tiny@notes:latest" || l.Message.Role != "assistant" {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	want := "it is so\n\nSources:\n[1] Keys http://localhost:8080/v1/vector_stores/notes/passages/psg_a\n[2] b#2 http://localhost:8080/v1/vector_stores/notes/passages/psg_b"
	last := lines[len(lines)-1]
	if text.String() != want || last.Reason != "stop" || last.Written != 8 || last.Prompt == 0 || last.Total <= 0 || len(last.Flashback.Strides) != 2 {
		t.Errorf("%q\n%+v", text.String(), last)
	}
	if m.request.MaxTokens != 9 || m.request.Sampling.Seed != 5 || m.asked[0].Content != "Be brief." {
		t.Errorf("asked %+v %+v", m.asked, m.request)
	}
	var whole ollamaTold
	if w := post(s, "/api/chat", body+`, "stream": false}`); json.Unmarshal(w.Body.Bytes(), &whole) != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if whole.Message.Content != want || !whole.Done || whole.Written != last.Written {
		t.Errorf("%+v", whole)
	}
}

// A prompt is a chat of one turn; a raw one is gone on with.
func TestOllamaGenerate(t *testing.T) {
	m := &fake{text: "there", cut: true}
	s := serve(t, m, withOllama)
	lines := ollamaLines(t, s, "/api/generate", `{"model": "tiny", "prompt": "Where?", "system": "Be brief.", "options": {"num_predict": -1}}`)
	if last := lines[len(lines)-1]; lines[0].Response != "t" || last.Reason != "length" || m.asked[0].Role != "system" || m.asked[1].Content != "Where?" {
		t.Errorf("%+v, asked %+v", lines, m.asked)
	}
	ollamaLines(t, s, "/api/generate", `{"model": "tiny", "prompt": "abc", "raw": true}`)
	if string(m.request.Tokens) != string([]int32{'a', 'b', 'c'}) {
		t.Errorf("it goes on with %v", m.request.Tokens)
	}
}

// Options are those of OpenAI's API by other names.
func TestOllamaOptions(t *testing.T) {
	m := &fake{text: "yes"}
	s := serve(t, m, withOllama)
	ollamaLines(t, s, "/api/chat", `{"model": "tiny", "options": {"temperature": 0.5, "top_k": 4, "top_p": 0.25, "min_p": 0.1, "repeat_penalty": 1.5, "repeat_last_n": 8, "frequency_penalty": 1, "presence_penalty": -1, "stop": "x"}, `+hello+`}`)
	if o := m.request.Sampling; o.Temperature != 0.5 || o.TopK != 4 || o.TopP != 0.25 || o.MinP != 0.1 || o.RepeatPenalty != 1.5 || o.RepeatLast != 8 || o.FrequencyPenalty != 1 || o.PresencePenalty != -1 || !slices.Equal(m.request.Stop, []string{"x"}) {
		t.Errorf("%+v %q", o, m.request.Stop)
	}
	ollamaLines(t, s, "/api/chat", `{"model": "tiny", "options": {"repeat_penalty": 1.5, "repeat_last_n": 0}, `+hello+`}`)
	if o := m.request.Sampling; o.RepeatPenalty != 1 {
		t.Errorf("a penalty that reaches nowhere is %v", o.RepeatPenalty)
	}
	ollamaLines(t, s, "/api/chat", `{"model": "tiny", "options": {"repeat_penalty": 1.5, "repeat_last_n": -1}, `+hello+`}`)
	if o := m.request.Sampling; o.RepeatLast != wholeText {
		t.Errorf("a penalty of all of the text reaches back %v", o.RepeatLast)
	}
}

// Errors are told by their message alone, in a stream as its last line.
func TestOllamaErrors(t *testing.T) {
	s := serve(t, &fake{text: "yes"}, withOllama)
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"chat", `{"model": "absent", ` + hello + `}`, 404},
		{"chat", `{"model": "absent"}`, 404},
		{"chat", `{"model": "tiny", "messages": [{"role": "assistant", "content": "x"}]}`, 400},
		{"chat", `{"model": "tiny", "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}`, 400},
		{"chat", `{"model": "tiny", "messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}`, 400},
		{"chat", `{"model": "tiny", "tools": [{"type": "function"}], ` + hello + `}`, 400},
		{"chat", `{"model": "tiny", "format": "json", ` + hello + `}`, 400},
		{"chat", `{"model": "tiny", "think": true, ` + hello + `}`, 400},
		{"chat", `{"model": "tiny", "options": {"mirostat": 2}, ` + hello + `}`, 400},
		{"chat", `{"model": "tiny", "options": [], ` + hello + `}`, 400},
		{"chat", `{"model": "tiny", "options": {"num_predict": 0}, ` + hello + `}`, 400},
		{"chat", `{"model": "tiny@notes", "flashback": {"openwebui": true}, ` + hello + `}`, 400},
		{"generate", `{"model": "tiny", "prompt": "x", "suffix": "y"}`, 400},
		{"generate", `{"model": "tiny", "prompt": "x", "system": "y", "raw": true}`, 400},
		{"generate", `{"model": "tiny", "prompt": "x", "context": [1]}`, 400},
		{"show", `{"model": "absent"}`, 404},
		{"embed", `{"model": "tiny", "input": "x"}`, 400},
		{"pull", `{"model": "tiny"}`, 404},
	} {
		w := post(s, "/api/"+c.path, c.body)
		var told map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || w.Code != c.status || told["error"] == "" {
			t.Errorf("%s %s: %d %s", c.path, c.body, w.Code, w.Body)
		}
	}
	lines := ollamaLines(t, serve(t, &fake{text: "it is", err: errors.New("broken")}, withOllama), "/api/chat", `{"model": "tiny", `+hello+`}`)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last.Error, "the server has failed") || lines[0].Message.Content != "i" {
		t.Errorf("%+v", lines)
	}
}

// What there is is told to clients that look around, of keys too; without the flag nothing is.
func TestOllamaModels(t *testing.T) {
	keys, err := ReadKeys(strings.NewReader("alice secret-of-alice-1 indexes=law\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, &fake{}, withOllama, func(o *Options) { o.Keys = keys })
	get := func(path string, v any) int {
		r := httptest.NewRequest("GET", "http://localhost"+path, nil)
		r.Header.Set("Authorization", "Bearer secret-of-alice-1")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		json.Unmarshal(w.Body.Bytes(), v)
		return w.Code
	}
	var tags, running struct{ Models []ollamaModel }
	get("/api/tags", &tags)
	var names []string
	for _, m := range tags.Models {
		names = append(names, m.Name)
	}
	if !slices.Equal(names, []string{"tiny", "tiny@law"}) || len(tags.Models[0].Digest) != 64 || tags.Models[0].Digest == tags.Models[1].Digest {
		t.Errorf("%+v", tags)
	}
	if get("/api/ps", &running); len(running.Models) != 1 || running.Models[0].Name != "tiny" {
		t.Errorf("%+v", running)
	}
	var version struct{ Version string }
	if get("/api/version", &version); version.Version != ollamaVersion {
		t.Errorf("%+v", version)
	}
	var shown struct {
		Capabilities []string
		Info         map[string]any `json:"model_info"`
	}
	if w := post(s, "/api/show", `{"model": "tiny@law"}`, "secret-of-alice-1"); json.Unmarshal(w.Body.Bytes(), &shown) != nil || !slices.Equal(shown.Capabilities, []string{"completion"}) || shown.Info["general.basename"] != "tiny" {
		t.Errorf("%s", w.Body)
	}
	if w := post(s, "/api/show", `{"model": "tiny"}`); w.Code != 401 || strings.Contains(w.Body.String(), `"code"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var loaded ollamaTold
	if w := post(s, "/api/generate", `{"model": "tiny"}`, "secret-of-alice-1"); json.Unmarshal(w.Body.Bytes(), &loaded) != nil || loaded.Reason != "load" || !loaded.Done {
		t.Errorf("%s", w.Body)
	}
	s = serve(t, &fake{})
	if w := post(s, "/api/chat", `{"model": "tiny", `+hello+`}`); w.Code != 404 {
		t.Errorf("without the flag: %d", w.Code)
	}
}
