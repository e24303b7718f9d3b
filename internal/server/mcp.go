package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/flashback-lm/flashback"
)

// mcp is POST /mcp: the Model Context Protocol over HTTP. Each request stands for itself,
// so that none is of another key's session.
func (s *Server) mcp(w http.ResponseWriter, r *http.Request, k *Key) error {
	data, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		return s.mcpServer(r.Context(), k, s.base(r))
	}, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: s.o.MaxBody,
		DisableLocalhostProtection: true, // dispatch has seen to the host
	}).ServeHTTP(&timedWriter{w}, r)
	return nil
}

// timedWriter gives a reader some time for each piece of an answer.
type timedWriter struct{ http.ResponseWriter }

// Write implements http.ResponseWriter.
func (w *timedWriter) Write(p []byte) (int, error) {
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTime)) // where it can be set
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeStdio speaks the Model Context Protocol on the standard input and output until the
// client ends or the context does. Whoever started the program may do everything.
func (s *Server) ServeStdio(ctx context.Context) error {
	return s.mcpServer(ctx, nil, "").Run(ctx, &mcp.StdioTransport{})
}

// toolbox has the tools of the Model Context Protocol, for one key.
type toolbox struct {
	s     *Server
	key   *Key
	base  string          // what addresses of passages begin with; "": there are none
	while context.Context // what its work ends with, beside the call's own end
}

// mcpServer returns what the key may do in the Model Context Protocol.
func (s *Server) mcpServer(ctx context.Context, k *Key, base string) *mcp.Server {
	t := &toolbox{s, k, base, ctx}
	m := mcp.NewServer(&mcp.Implementation{Name: "flashback", Title: "FlashBack", Version: s.o.Version}, &mcp.ServerOptions{
		Instructions: "search finds passages of the user's documents by their words; ask has a small model answer a question from them and tells its sources.",
		SetCacheable: func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.CacheScope = "private" }, // tools name the key's indexes
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Resources: &mcp.ResourceCapabilities{}},
	})
	harmless := &mcp.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true, OpenWorldHint: new(false)}
	indexes := " " + t.told()
	mcp.AddTool(m, &mcp.Tool{Name: "search", Title: "Search documents", Annotations: harmless,
		Description: "Find passages of documents that have the words of a query, the best first." + indexes}, t.search)
	mcp.AddTool(m, &mcp.Tool{Name: "ask", Title: "Ask documents", Annotations: harmless,
		Description: "Answer a question from documents: passages are looked up while the answer is written, and told as its sources." + indexes}, t.ask)
	if s.o.Stores != nil {
		m.AddResourceTemplate(&mcp.ResourceTemplate{Name: "passage", Title: "Passage", MIMEType: "text/plain", URITemplate: passageScheme + "{index}/{passage}",
			Description: "A passage that search or ask told of, as it is now."}, t.read)
	}
	return m
}

// names returns the indexes that the key may look in.
func (t *toolbox) names() (names []string) {
	for _, name := range t.s.indexes() {
		if t.s.mayUse(t.key, name) {
			names = append(names, name)
		}
	}
	return names
}

// mostTold is how many indexes are named to whoever chooses a tool.
const mostTold = 50

// told says which indexes there are.
func (t *toolbox) told() string {
	names := t.names()
	switch n := len(names); {
	case n == 0:
		return "There is no index to look in."
	case n > mostTold:
		return fmt.Sprintf("Indexes: %s, and %d more.", strings.Join(names[:mostTold], ", "), n-mostTold)
	}
	return "Indexes: " + strings.Join(names, ", ") + "."
}

// where returns the index that a call names, or all.
func (t *toolbox) where(name string) ([]string, error) {
	if name == "" {
		if names := t.names(); len(names) > 0 {
			return names, nil
		}
		return nil, fmt.Errorf("there is no index to look in")
	}
	if !t.s.mayLookIn(t.key, name) {
		return nil, fmt.Errorf("there is no index %q. %s", clip(name), t.told())
	}
	return []string{name}, nil
}

// during returns a context that ends with the call and with what the call is part of.
func (t *toolbox) during(call context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.while)
	stop := context.AfterFunc(call, cancel)
	return ctx, func() { stop(); cancel() }
}

// toldPassage is a passage as tools tell of it.
type toldPassage struct {
	Index  string  `json:"index" jsonschema:"the index that has it"`
	Title  string  `json:"title" jsonschema:"its document's title and headings"`
	Source string  `json:"source" jsonschema:"its document"`
	Page   int     `json:"page,omitempty" jsonschema:"counted from 1"`
	Line   int     `json:"line,omitempty" jsonschema:"counted from 1"`
	Score  float64 `json:"score" jsonschema:"BM25's; only comparable in one result"`
	Text   string  `json:"text"`
	URI    string  `json:"uri,omitempty" jsonschema:"the resource that it can be read as"`
	URL    string  `json:"url,omitempty" jsonschema:"where this server shows it"`
}

// passageScheme is what the addresses of passages begin with as resources.
const passageScheme = "flashback://passages/"

// tell returns what is told of a passage.
func (t *toolbox) tell(l *lookUp, p flashback.Passage) toldPassage {
	index, id := l.Cite(p)
	told := toldPassage{Index: index, Title: titleOf(p), Source: p.Source, Page: p.Page, Line: p.Line, Score: p.Score, Text: p.Text}
	if id != "" {
		told.URI = passageScheme + url.PathEscape(index) + "/" + url.PathEscape(id)
		if t.base != "" {
			told.URL = passageAddress(t.base, index, id)
		}
	}
	return told
}

// searchCall is what the tool search takes.
type searchCall struct {
	Query string `json:"query" jsonschema:"words that the passages should have"`
	Index string `json:"index,omitempty" jsonschema:"the index to look in; all where none is named"`
	Limit int    `json:"limit,omitempty" jsonschema:"how many passages, up to 50; 10 where it is not said"`
}

// searchTold is what it tells.
type searchTold struct {
	Passages []toldPassage `json:"passages"`
}

// search is the tool that finds passages.
func (t *toolbox) search(call context.Context, _ *mcp.CallToolRequest, c searchCall) (*mcp.CallToolResult, searchTold, error) {
	ctx, cancel := t.during(call)
	defer cancel()
	k := cmp.Or(c.Limit, usualResults)
	if k < 1 || k > maxResults {
		return nil, searchTold{}, fmt.Errorf("limit: give a number from 1 to %d", maxResults)
	}
	if strings.TrimSpace(c.Query) == "" || len(c.Query) > maxQuery {
		return nil, searchTold{}, fmt.Errorf("query: give a text of up to %d bytes", maxQuery)
	}
	names, err := t.where(c.Index)
	if err != nil {
		return nil, searchTold{}, err
	}
	l, err := t.s.look(names, false)
	if err != nil {
		return nil, searchTold{}, err
	}
	defer l.close()
	found, err := l.Retrieve(ctx, flashback.Query{Text: c.Query, K: k})
	if err != nil {
		return nil, searchTold{}, err
	}
	told := searchTold{Passages: []toldPassage{}}
	var b strings.Builder
	for i, p := range found {
		told.Passages = append(told.Passages, t.tell(l, p))
		fmt.Fprintf(&b, "[%d] %s\n%s\n\n%s\n\n", i+1, told.Passages[i].Title, told.Passages[i].place(), p.Text)
	}
	if len(found) == 0 {
		b.WriteString("No passage has any of these words.")
	}
	return textResult(b.String()), told, nil
}

// place says where a passage stands, in a line.
func (p *toldPassage) place() string {
	where := p.Source
	switch {
	case p.Page > 0:
		where += fmt.Sprintf(", page %d", p.Page)
	case p.Line > 0:
		where += fmt.Sprintf(", line %d", p.Line)
	}
	return strings.TrimSpace(where + " " + p.URI)
}

// textResult is a result that can be read.
func textResult(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: strings.TrimSpace(text)}}}
}

// askCall is what the tool ask takes.
type askCall struct {
	Question  string `json:"question" jsonschema:"a question that stands for itself: there is no conversation"`
	Index     string `json:"index,omitempty" jsonschema:"the index to look in; all where none is named"`
	MaxTokens int    `json:"max_tokens,omitempty" jsonschema:"how long the answer may be"`
}

// askTold is what it tells.
type askTold struct {
	Answer  string        `json:"answer"`
	Finish  string        `json:"finish_reason" jsonschema:"stop, or length where the answer was cut off"`
	Sources []toldPassage `json:"sources" jsonschema:"the passages that the answer was written in sight of"`
}

// ask is the tool that answers.
func (t *toolbox) ask(call context.Context, _ *mcp.CallToolRequest, c askCall) (*mcp.CallToolResult, askTold, error) {
	ctx, cancel := t.during(call)
	defer cancel()
	told := askTold{Sources: []toldPassage{}}
	names, err := t.where(c.Index)
	if err != nil {
		return nil, told, err
	}
	messages, err := conversation([]message{{Role: "user", Content: c.Question}})
	if err != nil {
		return nil, told, fmt.Errorf("question: it is empty")
	}
	body := &chatBody{common: common{Model: t.s.o.Name, Flashback: extension{Indexes: names}}}
	if c.MaxTokens != 0 {
		body.MaxTokens = &c.MaxTokens
	}
	j, err := t.s.answering(t.key, body, messages, t.base)
	if err != nil {
		return nil, told, err
	}
	defer j.release()
	seen := map[string]bool{}
	j.looked = func(stride flashback.Stride) error {
		for _, p := range stride.Passages {
			if index, id := j.lookUp.Cite(p.Passage); !seen[index+"/"+id+p.ID] {
				seen[index+"/"+id+p.ID] = true
				told.Sources = append(told.Sources, t.tell(j.lookUp, p.Passage))
			}
		}
		return nil
	}
	var answer strings.Builder
	_, err = t.s.follow(ctx, j, func(p part) error {
		answer.WriteString(p.text)
		if p.finish != "" {
			told.Finish = p.finish
		}
		return nil
	})
	if err != nil {
		return nil, told, err
	}
	told.Answer = strings.TrimSpace(answer.String())
	var b strings.Builder
	b.WriteString(told.Answer + "\n\nSources:\n")
	for i := range told.Sources {
		fmt.Fprintf(&b, "[%d] %s: %s\n", i+1, told.Sources[i].Title, told.Sources[i].place())
	}
	return textResult(b.String()), told, nil
}

// read reads a passage as a resource.
func (t *toolbox) read(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	missing := mcp.ResourceNotFoundError(r.Params.URI)
	index, id, _ := strings.Cut(strings.TrimPrefix(r.Params.URI, passageScheme), "/")
	index, err := url.PathUnescape(index)
	if err != nil || !t.s.mayLookIn(t.key, index) {
		return nil, missing
	}
	if id, err = url.PathUnescape(id); err != nil {
		return nil, missing
	}
	p, err := t.s.o.Stores.Passage(index, id)
	if err != nil {
		return nil, missing
	}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, MIMEType: "text/plain", Text: p.Text}}}, nil
}
