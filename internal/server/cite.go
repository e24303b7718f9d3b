package server

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/sample"
)

// How sources are told: flashback.cite.
const (
	citeAnnotations = "annotations" // the default
	citeFooter      = "footer"
	citeNone        = "none"
)

// annotation says that a part of an answer was written with a passage in sight.
type annotation struct {
	Index    int      `json:"index"` // counts an answer's annotations, for clients that put deltas together
	Type     string   `json:"type"`  // url_citation
	Citation citation `json:"url_citation"`
	passage  flashback.Passage
}

// citation is a range of an answer, in characters, the last one not included, and the
// passage.
type citation struct {
	StartIndex int    `json:"start_index"`
	EndIndex   int    `json:"end_index"`
	Title      string `json:"title"`
	URL        string `json:"url"`
}

// shown is a passage as clients are told of it.
type shown struct {
	ID     string  `json:"id"`
	Title  string  `json:"title,omitempty"`
	Source string  `json:"source,omitempty"`
	Page   int     `json:"page,omitempty"`
	Line   int     `json:"line,omitempty"`
	Score  float64 `json:"score"`
	Tokens int     `json:"evidence_tokens"`
	URL    string  `json:"url"`
}

// strideReport is flashback.stride of a chunk.
type strideReport struct {
	Choice    int     `json:"choice,omitempty"`
	Index     int     `json:"index"`
	Context   int     `json:"context"` // tokens of the text before it
	Query     string  `json:"query,omitempty"`
	Placement string  `json:"placement"`
	Passages  []shown `json:"passages"`
	// Start and End are the part of the answer that was written in it, in characters.
	Start int `json:"start_index"`
	End   int `json:"end_index"`
}

// citer follows an answer and says which part of it each stride wrote.
type citer struct {
	address func(flashback.Passage) string
	raw     strings.Builder // bytes of all tokens, held back ones too
	chat    bool            // a blank that the text begins with is not shown
	stride  *flashback.Stride
	from    int // characters before the stride
	seen    int // annotations so far
}

// begin notes what the next tokens see.
func (c *citer) begin(s flashback.Stride) {
	c.stride = &s
	c.from = c.boundary(false)
}

// boundary returns how many characters there are so far, one that is begun too or not.
func (c *citer) boundary(begun bool) int {
	text := c.raw.String()
	n := utf8.RuneCountInString(text)
	if cut := sample.Begun(text); cut > 0 {
		n = utf8.RuneCountInString(text[:len(text)-cut])
		if begun {
			n++
		}
	}
	if c.chat && strings.HasPrefix(text, " ") {
		n--
	}
	return n
}

// end reports the stride; answer is how long the whole answer is, in characters, or -1
// while it goes on. It returns nil where there was none.
func (c *citer) end(answer int) (*strideReport, []annotation) {
	if c.stride == nil {
		return nil, nil
	}
	s := c.stride
	c.stride = nil
	end := c.boundary(true)
	if answer >= 0 {
		end = min(end, answer)
	}
	report := &strideReport{Index: s.Index, Context: s.Context, Query: s.Query, Placement: s.Placement, Passages: []shown{}, Start: min(c.from, end), End: end}
	var annotations []annotation
	for _, p := range s.Passages {
		address := c.address(p.Passage)
		report.Passages = append(report.Passages, shown{ID: p.ID, Title: titleOf(p.Passage), Source: p.Source, Page: p.Page, Line: p.Line, Score: p.Score, Tokens: p.Tokens, URL: address})
		if report.Start < end {
			annotations = append(annotations, annotation{c.seen, "url_citation", citation{report.Start, end, titleOf(p.Passage), address}, p.Passage})
			c.seen++
		}
	}
	return report, annotations
}

// titleOf is what people know a passage by: its title and headings, or else its id.
func titleOf(p flashback.Passage) string {
	if p.Heading == p.Title || strings.HasPrefix(p.Heading, p.Title+" > ") {
		p.Title = ""
	}
	if name := retrieve.Breadcrumb(p.Title, p.Heading); name != "" {
		return name
	}
	return p.ID
}

// footer lists passages behind an answer.
func footer(passages []shown) string {
	if len(passages) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n\nSources:")
	for i, p := range passages {
		fmt.Fprintf(&b, "\n[%d] %s %s", i+1, strings.Join(strings.Fields(p.Title), " "), p.URL)
	}
	return b.String()
}

// sourceEvent is what Open WebUI shows a source from. It knows sources apart by what
// metadata says, and would show that instead of the name where it is an address.
func sourceEvent(s shown, text string) map[string]any {
	id := s.ID
	if _, address, ok := strings.Cut(s.URL, "://"); ok {
		id = address
	}
	return map[string]any{"event": map[string]any{"type": "source", "data": map[string]any{
		"source":   map[string]any{"name": s.Title, "url": s.URL},
		"document": []string{text},
		"metadata": []map[string]any{{"source": id, "name": s.Title}},
	}}}
}

// lookUp is what a request looks passages up in.
type lookUp struct {
	Reading
	patience time.Duration // for one look-up
	goesOn   bool          // without passages where they cannot be looked up
	took     func(time.Duration)
	traced   func(context.Context) (context.Context, func(found int, err error))
}

// look opens the indexes of these names.
func (s *Server) look(names []string, goesOn bool) (*lookUp, error) {
	reading, err := s.o.Library.Acquire(names...)
	if err != nil {
		return nil, retrievalError{error: err}
	}
	return s.lookIn(reading, names, goesOn), nil
}

// lookIn returns what looks passages up in the indexes that a reading is of.
func (s *Server) lookIn(reading Reading, names []string, goesOn bool) *lookUp {
	s.metrics.acquired(names, reading)
	return &lookUp{Reading: reading, patience: s.o.RetrievalTime, goesOn: goesOn, took: func(t time.Duration) { s.metrics.retrieved(names, t) },
		traced: func(ctx context.Context) (context.Context, func(int, error)) {
			return traceRetrieval(ctx, s.o.Tracer, names)
		}}
}

// Retrieve implements retrieve.Retriever.
func (l *lookUp) Retrieve(ctx context.Context, q flashback.Query) (found []flashback.Passage, err error) {
	ctx, traced := l.traced(ctx)
	defer func() { traced(len(found), err) }()
	began := time.Now()
	inTime, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	found, err = l.Reading.Retrieve(inTime, q)
	l.took(time.Since(began))
	told := false
	if inTime.Err() != nil && ctx.Err() == nil {
		err, told = fmt.Errorf("it took longer than %v", l.patience), true
	}
	if err == nil {
		found, err = believable(found, q.K)
		told = err != nil
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return found, err
	case l.goesOn:
		return nil, nil
	}
	return nil, retrievalError{err, told}
}

// believable returns at most the k passages that were asked for. The error says that a
// score is no number, of which no share can be made and none can be told.
func believable(found []flashback.Passage, k int) ([]flashback.Passage, error) {
	found = found[:min(len(found), k)]
	for _, p := range found {
		if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
			return nil, fmt.Errorf("the score of passage %q is %v", clip(p.ID), p.Score)
		}
	}
	return found, nil
}

// address returns the address of a passage, behind the server's own.
func (l *lookUp) address(base string) func(flashback.Passage) string {
	return func(p flashback.Passage) string {
		if l == nil {
			return ""
		}
		index, id := l.Cite(p)
		if id == "" {
			return ""
		}
		return passageAddress(base, index, id)
	}
}

// close releases the indexes.
func (l *lookUp) close() {
	if l != nil {
		l.Release()
	}
}

// passageAddress returns where the server shows a passage.
func passageAddress(base, index, id string) string {
	return base + "/v1/vector_stores/" + url.PathEscape(index) + "/passages/" + url.PathEscape(id)
}
