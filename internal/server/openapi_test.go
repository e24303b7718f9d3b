package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// operation is one that the API's description has.
type operation struct {
	Request struct {
		Content map[string]json.RawMessage
	} `json:"requestBody"`
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]json.RawMessage
	}
}

// described is the API's description, read.
type described struct {
	Paths   map[string]map[string]json.RawMessage
	Schemas map[string]struct {
		Ref        string `json:"$ref"`
		Properties map[string]any
	}
	compiler *jsonschema.Compiler
	mu       sync.Mutex
}

const descriptionURL = "https://flashback.invalid/openapi.json"

var describedAPI = sync.OnceValue(func() *described {
	text, err := descriptionJSON()
	if err != nil {
		panic(err)
	}
	var d struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas map[string]struct {
				Ref        string `json:"$ref"`
				Properties map[string]any
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		panic(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020) // as OpenAPI 3.1 has it
	if err := c.AddResource(descriptionURL, document); err != nil {
		panic(err)
	}
	return &described{Paths: d.Paths, Schemas: d.Components.Schemas, compiler: c}
})

// operation returns the one of a route's pattern.
func (d *described) operation(pattern string) (o operation, pointer string, ok bool) {
	method, path, _ := strings.Cut(pattern, " ")
	path, method = strings.TrimSuffix(path, "{$}"), strings.ToLower(method)
	raw, ok := d.Paths[path][method]
	if ok {
		if err := json.Unmarshal(raw, &o); err != nil {
			panic(err)
		}
	}
	return o, "#/paths/" + escape(path) + "/" + method, ok
}

// escape returns a name as a part of a JSON pointer in a fragment.
func escape(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
}

// check holds JSON against the schema at a pointer into the description.
func (d *described) check(pointer string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile(descriptionURL + pointer)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// request holds the body of a request that was granted against the description.
func (d *described) request(pattern string, body []byte) error {
	o, pointer, ok := d.operation(pattern)
	if !ok {
		return fmt.Errorf("%s is not described", pattern)
	}
	if _, ok := o.Request.Content["application/json"]; !ok {
		return nil
	}
	return d.check(pointer+"/requestBody/content/application~1json/schema", body)
}

// response holds an answer against the description.
func (d *described) response(pattern string, status int, header http.Header, body []byte) error {
	o, pointer, ok := d.operation(pattern)
	if !ok {
		return fmt.Errorf("%s is not described", pattern)
	}
	code := strconv.Itoa(status)
	r, ok := o.Responses[code]
	if !ok {
		code = "default"
		if r, ok = o.Responses[code]; !ok || status < 400 {
			return fmt.Errorf("%s: %d is not described", pattern, status)
		}
	}
	pointer += "/responses/" + code
	if r.Ref != "" {
		pointer, r.Content = r.Ref, map[string]json.RawMessage{"application/json": nil}
	}
	if len(r.Content) == 0 && len(body) == 0 {
		return nil
	}
	if len(r.Content) == 0 && len(body) == 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("%s: %d: %w", pattern, status, err)
	}
	if _, ok := r.Content[kind]; !ok {
		return fmt.Errorf("%s: %d: %s is not described", pattern, status, kind)
	}
	pointer += "/content/" + escape(kind) + "/schema"
	switch kind {
	case "application/json":
		return d.check(pointer, body)
	case "application/x-ndjson":
		for line := range strings.Lines(string(body)) {
			if err := d.check(pointer, []byte(line)); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
	case "text/event-stream":
		for event := range strings.SplitSeq(string(body), "\n\n") {
			_, data, ok := strings.Cut("\n"+event, "\ndata: ") // some events have a name
			if !ok || data == "[DONE]" {
				continue // a ping, the end
			}
			if err := d.check(pointer, []byte(data)); err != nil {
				return fmt.Errorf("%s: %w", data, err)
			}
		}
	}
	return nil
}

// holder holds whatever is asked and answered in a test against the API's description.
type holder struct {
	http.Handler
	t       testing.TB
	lenient bool // requests may be granted though the description does not

	mu   sync.Mutex
	over bool // the test has ended, or failed
}

// held returns a handler of a test whose requests and answers are held against the
// description; not those of fuzz tests, which ask for what nobody would.
func held(t testing.TB, h http.Handler) http.Handler {
	if _, fuzzes := t.(*testing.F); fuzzes {
		return h
	}
	held := &holder{Handler: h, t: t}
	t.Cleanup(func() {
		held.mu.Lock()
		defer held.mu.Unlock()
		held.over = true
	})
	return held
}

// ServeHTTP implements http.Handler.
func (h *holder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked bytes.Buffer
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &asked), r.Body}
	}
	answer := &keptAnswer{ResponseWriter: w, status: http.StatusOK}
	h.Handler.ServeHTTP(answer, r)
	if r.Pattern == "" || r.Context().Err() != nil {
		return
	}
	d := describedAPI()
	err := d.response(r.Pattern, answer.status, w.Header(), answer.body.Bytes())
	if err == nil && answer.status < 400 && !h.lenient {
		err = d.request(r.Pattern, asked.Bytes())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && !h.over {
		h.over = true // one is enough
		h.t.Errorf("openapi.yaml: %v", err)
	}
}

// keptAnswer keeps an answer.
type keptAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *keptAnswer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *keptAnswer) Write(p []byte) (int, error) {
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}

func (a *keptAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Every route is described, and there is a route for all that is described.
func TestRoutesAreDescribed(t *testing.T) {
	s, d := managing(t, func(o *Options) { o.Ollama = true }), describedAPI()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	routes := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`s\.handle(?:Open)?\("([A-Z]+ [^"]+)"`).FindAllSubmatch(source, -1) {
			routes++
			if _, _, ok := d.operation(string(m[1])); !ok {
				t.Errorf("%s: %s is not described in openapi.yaml", file, m[1])
			}
		}
	}
	operations := 0
	for path, methods := range d.Paths {
		for method := range methods {
			if method == "parameters" {
				continue
			}
			operations++
			r := httptest.NewRequest(strings.ToUpper(method), "http://localhost"+path, nil)
			_, pattern := s.mux.Handler(r)
			if _, _, ok := d.operation(pattern); !ok || strings.TrimSuffix(pattern, "{$}") != r.Method+" "+path {
				t.Errorf("%s %s is described, and answered by %q", method, path, pattern)
			}
		}
	}
	if routes != operations || routes < 30 {
		t.Errorf("%d routes, %d operations", routes, operations)
	}
}

// What requests are read into has the fields that are described, and no others.
func TestFieldsAreDescribed(t *testing.T) {
	d := describedAPI()
	for name, body := range map[string]any{
		"ChatRequest": chatBody{}, "CompletionRequest": completionBody{}, "ResponseRequest": responseBody{}, "OllamaChatRequest": ollamaChatBody{}, "OllamaGenerateRequest": ollamaGenerateBody{}, "Flashback": extension{}, "SearchRequest": searchRequest{}, "InfluenceRequest": influenceBody{}, "VectorStoreRequest": storeRequest{},
	} {
		schema := d.Schemas[name]
		want := slices.Sorted(maps.Keys(schema.Properties))
		if base, ok := strings.CutPrefix(schema.Ref, "#/components/schemas/"); ok {
			want = slices.Sorted(slices.Values(append(want, slices.Collect(maps.Keys(d.Schemas[base].Properties))...)))
		}
		got := fieldsOf(reflect.TypeOf(body))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q are read, %q are described", name, got, want)
		}
	}
}

func fieldsOf(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, fieldsOf(f.Type)...)
		} else if name := f.Tag.Get("json"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Each schema compiles, and says no to what is wrong: a description that takes everything
// would pass the other tests.
func TestDescription(t *testing.T) {
	d := describedAPI()
	for name := range d.Schemas {
		if _, err := d.compiler.Compile(descriptionURL + "#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct{ schema, wrong string }{
		{"ChatRequest", `{"messages": [{"role": "user", "content": "a"}]}`},
		{"ChatRequest", `{"model": "tiny"}`},
		{"ChatRequest", `{"model": "tiny", "messages": [{"role": "king"}]}`},
		{"ChatRequest", `{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "flashback": {"kk": 1}}`},
		{"ChatRequest", `{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "n": 9}`},
		{"CompletionRequest", `{"model": "tiny", "prompt": {}}`},
		{"ResponseRequest", `{"model": "tiny"}`},
		{"ResponseRequest", `{"model": "tiny", "input": "a", "tools": [{"type": "web_search"}]}`},
		{"ResponseRequest", `{"model": "tiny", "input": [{"type": "function_call"}]}`},
		{"ResponseEvent", `{"type": "response.done", "sequence_number": 0}`},
		{"FileCitation", `{"type": "url_citation"}`},
		{"ChatEvent", `{"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "more": 1}`},
		{"Error", `{"error": "a"}`},
		{"Page", `{"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false, "more": 1}`},
	} {
		if d.check("#/components/schemas/"+c.schema, []byte(c.wrong)) == nil {
			t.Errorf("%s takes %s", c.schema, c.wrong)
		}
	}
	w := httptest.NewRecorder()
	serve(t, &fake{}).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/openapi.json", nil))
	var told struct{ OpenAPI string }
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || told.OpenAPI != "3.1.0" {
		t.Errorf("%v: %.100s", err, w.Body)
	}
}
