// Package retrieve says what a retriever is. Each retriever has a folder of its
// own below; the loop sees only this interface.
package retrieve

import (
	"context"
	"strings"
)

// Passage is a stored piece of a document that can be shown to the model.
type Passage struct {
	ID     string  `json:"id"`               // what its document is called, and where in it; unique in its source
	Title  string  `json:"title,omitempty"`  // the document's title
	Text   string  `json:"text"`             // the passage itself, without the title
	Source string  `json:"source,omitempty"` // what it came from, as a file; unique in its index
	Offset int64   `json:"offset"`           // byte offset of Text in the document's text
	First  bool    `json:"first,omitempty"`  // it is its document's first chunk
	Score  float64 `json:"score"`            // the retriever's score for the query

	// Where the passage begins, as far as its reader knows.
	Heading string `json:"heading,omitempty"` // headings that it stands under, outermost first: "Model Beta > Power"
	Page    int    `json:"page,omitempty"`    // page from 1; 0: not known
	Line    int    `json:"line,omitempty"`    // line of the file from 1; 0: not known

	// Breadcrumb says that the model reads title and heading before Text; else it reads
	// the title before a document's first chunk only, as in the paper.
	Breadcrumb bool `json:"breadcrumb,omitempty"`
}

// Evidence returns what the model reads of the passage.
func (p *Passage) Evidence() string {
	switch {
	case p.Breadcrumb && (p.Title != "" || p.Heading != ""):
		return Breadcrumb(p.Title, p.Heading) + "\n" + p.Text
	case !p.Breadcrumb && p.First && p.Title != "":
		return p.Title + "\n" + p.Text
	}
	return p.Text
}

// Breadcrumb joins a title and headings, outermost first, leaving out empty ones.
func Breadcrumb(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		if name == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(" > ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// Query asks for the k best passages.
type Query struct {
	Text string
	K    int
	// ExcludeIDs, ExcludeTitles and ExcludeSources (files) name passages that
	// must not be returned, as evaluation needs when the text itself is in the
	// index.
	ExcludeIDs     []string
	ExcludeTitles  []string
	ExcludeSources []string
}

// Retriever finds passages. It is safe for use by many goroutines. No hits is
// an empty answer, not an error.
type Retriever interface {
	Retrieve(ctx context.Context, q Query) ([]Passage, error)
}

// Neighbours is a Retriever that knows what stands around a passage which it found.
type Neighbours interface {
	// Neighbour returns the passage of the same document that follows p, where step is
	// 1, or that p follows, where it is -1. ok is false where there is none.
	Neighbour(ctx context.Context, p Passage, step int) (q Passage, ok bool, err error)
}

// Coverer is a Retriever that can tell how much of a question a passage speaks of.
type Coverer interface {
	// Covered returns the share of the question's words, each weighed by how rare it is,
	// that the passage has in its text, title or headings: from 0 to 1.
	Covered(question string, p Passage) (float64, error)
}
