package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// keyed adds a key to requests.
type keyed string

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if k != "" {
		r.Header.Set("Authorization", "Bearer "+string(k))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// agent returns a client of a server's /mcp.
func agent(t *testing.T, s *Server, key string) *mcp.ClientSession {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	session, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: h.URL + "/mcp", HTTPClient: &http.Client{Transport: keyed(key)}, DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// call calls a tool, reads its structured result into v and returns its text.
func call(t *testing.T, c *mcp.ClientSession, tool string, arguments map[string]any, v any) (text string, failed bool) {
	t.Helper()
	r, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		data, _ := json.Marshal(r.StructuredContent)
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	return r.Content[0].(*mcp.TextContent).Text, r.IsError
}

// An agent searches and asks, and is told where passages stand.
func TestMCP(t *testing.T) {
	m := &fake{text: "behind the door"}
	c := agent(t, serve(t, m), "")
	tools, err := c.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 2 || !strings.Contains(tools.Tools[0].Description, "Indexes: law, notes.") {
		t.Fatalf("%v: %+v", err, tools)
	}
	var found searchTold
	text, failed := call(t, c, "search", map[string]any{"query": "keys", "index": "notes"}, &found)
	if failed || len(found.Passages) != 2 || found.Passages[0].Text != "They hang behind the door." || found.Passages[0].URI != "flashback://passages/notes/psg_a" ||
		!strings.HasSuffix(found.Passages[0].URL, "/v1/vector_stores/notes/passages/psg_a") || !strings.Contains(text, "[1] Keys\na.md flashback://passages/notes/psg_a\n\nThey hang") {
		t.Errorf("%s\n%+v", text, found)
	}
	var told askTold
	text, failed = call(t, c, "ask", map[string]any{"question": "Where?", "max_tokens": 50}, &told)
	if failed || told.Answer != "behind the door" || told.Finish != "stop" || len(told.Sources) != 2 || !strings.Contains(text, "\n[1] Keys: a.md flashback://") {
		t.Errorf("%s\n%+v", text, told)
	}
	if last := m.asked[len(m.asked)-1]; last.Content != "Where?" || m.request.MaxTokens != 50 || m.closed != 1 {
		t.Errorf("the model is asked %+v for %d tokens", m.asked, m.request.MaxTokens)
	}
	for name, arguments := range map[string]map[string]any{
		"no query":   {"query": " "},
		"no index":   {"query": "keys", "index": "absent"},
		"too many":   {"query": "keys", "limit": 51},
		"less":       {"query": "keys", "limit": -1},
		"no text":    {"query": 7},
		"more":       {"query": "keys", "indices": []string{"notes"}},
		"a question": {"question": "Where?"},
	} {
		if text, failed := call(t, c, "search", arguments, nil); !failed {
			t.Errorf("%s: %s", name, text)
		}
	}
	for name, arguments := range map[string]map[string]any{
		"no question": {"question": ""}, "no index": {"question": "Where?", "index": "absent"}, "no tokens": {"question": "Where?", "max_tokens": -1},
		"too long": {"question": strings.Repeat("x", 2000)},
	} {
		if text, failed := call(t, c, "ask", arguments, nil); !failed {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// A key sees its own indexes, and needs to be one.
func TestMCPKeys(t *testing.T) {
	keys, err := ReadKeys(strings.NewReader("alice secret-of-alice-1 indexes=law\nbob secret-of-bob-0001\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, &fake{text: "yes"}, func(o *Options) { o.Keys = keys })
	if w := post(s, "/mcp", `{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}`); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	alice := agent(t, s, "secret-of-alice-1")
	tools, err := alice.ListTools(t.Context(), nil)
	if err != nil || !strings.Contains(tools.Tools[0].Description, "Indexes: law.") || tools.CacheScope != "private" {
		t.Errorf("%v: %+v", err, tools)
	}
	if text, failed := call(t, alice, "search", map[string]any{"query": "keys", "index": "notes"}, nil); !failed || !strings.Contains(text, "there is no index") {
		t.Errorf("alice reads notes: %s", text)
	}
	if text, failed := call(t, alice, "search", map[string]any{"query": "keys"}, nil); failed {
		t.Error(text)
	}
	if text, failed := call(t, agent(t, s, "secret-of-bob-0001"), "ask", map[string]any{"question": "Where?"}, nil); !failed {
		t.Errorf("bob is answered: %s", text)
	}
}

// Pages of another origin are told nothing, whatever way a browser says that they are.
func TestMCPOrigin(t *testing.T) {
	s := serve(t, &fake{text: "yes"})
	for header, value := range map[string]string{"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"} {
		r := httptest.NewRequest("POST", "http://localhost:8080/mcp", strings.NewReader(`{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("%s: %s: %d %s", header, value, w.Code, w.Body)
		}
	}
}

// A passage is read as a resource while it is there.
func TestMCPResource(t *testing.T) {
	s := managing(t)
	var store struct{ ID string }
	ask(t, s, 200, "POST", "/v1/vector_stores", `{"name": "notes"}`, &store)
	attached(t, s, store.ID, uploaded(t, s, "keys.md", "# Keys\n\nThey hang behind the door.\n"))
	c := agent(t, s, "")
	templates, err := c.ListResourceTemplates(t.Context(), nil)
	if err != nil || len(templates.ResourceTemplates) != 1 {
		t.Fatalf("%v: %+v", err, templates)
	}
	var found searchTold
	call(t, c, "search", map[string]any{"query": "door"}, &found)
	if len(found.Passages) != 1 {
		t.Fatalf("%+v", found)
	}
	r, err := c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: found.Passages[0].URI})
	if err != nil || r.Contents[0].Text != found.Passages[0].Text {
		t.Errorf("%v: %+v", err, r)
	}
	for _, uri := range []string{"flashback://passages/absent/psg_a", found.Passages[0].URI + "x", "flashback://passages/%ff/psg_a", "flashback://passages/" + store.ID + "/%zz"} {
		if r, err := c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri}); err == nil {
			t.Errorf("%s: %+v", uri, r)
		}
	}
}

// A client that goes away while it is answered ends the answer.
func TestMCPGone(t *testing.T) {
	m := &fake{text: "yes", hold: make(chan struct{})}
	s := serve(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := httptest.NewRequestWithContext(ctx, "POST", "http://localhost:8080/mcp", strings.NewReader(`{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {"question": "Where?"}}}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		s.ServeHTTP(httptest.NewRecorder(), r)
	}()
	await := func(what string, ok func() bool) {
		for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal(what)
			}
		}
	}
	await("it is not run", func() bool { running, _ := s.admission.load(); return running == 1 })
	cancel()
	<-ended
	await("it is still run", func() bool { running, _ := s.admission.load(); return running == 0 })
}

// On standard input and output everything may be used, and no address is told.
func TestMCPTransport(t *testing.T) {
	ours, theirs := mcp.NewInMemoryTransports()
	s := serve(t, &fake{text: "yes"}, func(o *Options) { o.Version = "flashback v1" })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.mcpServer(ctx, nil, "").Run(ctx, ours) }()
	c, err := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil).Connect(t.Context(), theirs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var found searchTold
	call(t, c, "search", map[string]any{"query": "keys"}, &found)
	if slices.ContainsFunc(found.Passages, func(p toldPassage) bool { return p.URL != "" || p.URI == "" }) {
		t.Errorf("%+v", found)
	}
	if v := c.InitializeResult().ServerInfo.Version; v != "flashback v1" {
		t.Errorf("the version is %q", v)
	}
	cancel()
	<-ended
}
