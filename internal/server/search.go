package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/library"
)

// Bounds of a search.
const (
	maxQuery     = 32 << 10 // bytes
	usualResults = 10
	maxResults   = 50
)

// searchRequest is what is looked up in an index.
type searchRequest struct {
	Query   queries `json:"query"`
	Results *int    `json:"max_num_results"`
	Ranking struct {
		Ranker    string   `json:"ranker"`
		Threshold *float64 `json:"score_threshold"`
	} `json:"ranking_options"`
}

// queries are one text or several, which are looked up together.
type queries []string

// UnmarshalJSON reads a string or several.
func (q *queries) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*q = queries{one}
		return nil
	}
	var several []string
	if json.Unmarshal(data, &several) != nil {
		return Invalid("query", "query: give a text or a list of texts")
	}
	*q = several
	return nil
}

// foundObject is a passage that a search found, as OpenAI's API shows it, and where it
// stands.
type foundObject struct {
	File       string            `json:"file_id"`
	Filename   string            `json:"filename"`
	Score      float64           `json:"score"` // BM25's
	Attributes map[string]string `json:"attributes"`
	Content    []foundText       `json:"content"`
	place
}

type foundText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// place says which passage of an index one is, and where in its document it stands.
type place struct {
	Passage string `json:"passage_id"`
	URL     string `json:"url"`
	Title   string `json:"title"`
	Heading string `json:"heading,omitempty"`
	Source  string `json:"source"`
	Page    int    `json:"page,omitempty"`
	Line    int    `json:"line,omitempty"`
}

// placeOf returns the place of a passage.
func (s *Server) placeOf(r *http.Request, index, id string, p flashback.Passage) place {
	return place{Passage: id, URL: passageAddress(s.base(r), index, id), Title: titleOf(p), Heading: p.Heading, Source: p.Source, Page: p.Page, Line: p.Line}
}

// fileOf returns the id and the name of the file that a source was made of; of one that
// was not uploaded, the source.
func (s *Server) fileOf(index, source string) (id, name string) {
	if s.o.Stores != nil {
		if d, ok := s.o.Stores.Upload(index, source); ok {
			return d.File, d.Name
		}
	}
	return source, source
}

// searchStore is POST /v1/vector_stores/{store}/search.
func (s *Server) searchStore(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	var b searchRequest
	if err := s.decode(w, r, &b, refusedInStores); err != nil {
		return err
	}
	text, k := strings.Join(b.Query, "\n"), usualResults
	if b.Results != nil {
		k = *b.Results
	}
	switch {
	case strings.TrimSpace(text) == "" || len(text) > maxQuery:
		return Invalid("query", "query: give a text of up to %d bytes", maxQuery)
	case k < 1 || k > maxResults:
		return Invalid("max_num_results", "max_num_results: give a number from 1 to %d", maxResults)
	case b.Ranking.Ranker != "" && b.Ranking.Ranker != "auto" && b.Ranking.Ranker != "none":
		return unsupported("ranking_options.ranker", "ranking_options.ranker: passages are ranked by BM25: auto")
	}
	reading, err := s.o.Stores.Acquire(index.Name)
	if err != nil {
		return storeError(err)
	}
	defer reading.Release()
	passages, err := s.lookIn(reading, []string{index.Name}, false).Retrieve(r.Context(), flashback.Query{Text: text, K: k})
	if err != nil {
		return err
	}
	found := []foundObject{}
	for _, p := range passages {
		if b.Ranking.Threshold != nil && p.Score < *b.Ranking.Threshold {
			continue
		}
		name, id := reading.Cite(p)
		o := foundObject{Score: p.Score, Attributes: map[string]string{}, Content: []foundText{{"text", p.Text}}, place: s.placeOf(r, name, id, p)}
		o.File, o.Filename = s.fileOf(index.Name, p.Source)
		found = append(found, o)
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "vector_store.search_results.page", "search_query": b.Query, "data": found, "has_more": false, "next_page": nil})
	return nil
}

// passageObject is a passage that a citation points to.
type passageObject struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Store    string `json:"vector_store_id"`
	File     string `json:"file_id"`
	Filename string `json:"filename"`
	Text     string `json:"text"`
	Offset   int64  `json:"offset"` // of the text in its document's, in bytes
	place
}

// getPassage is GET /v1/vector_stores/{store}/passages/{passage}.
func (s *Server) getPassage(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	id := r.PathValue("passage")
	p, err := s.o.Stores.Passage(index.Name, id)
	if errors.Is(err, library.ErrNotFound) {
		return NotFound("", "not_found", "the index %q has no passage %q, or not any more: its document was changed or taken out", index.Name, clip(id))
	}
	if err != nil {
		return storeError(err)
	}
	o := passageObject{ID: id, Object: "vector_store.passage", Store: index.Name, Text: p.Text, Offset: p.Offset, place: s.placeOf(r, index.Name, id, p)}
	o.File, o.Filename = s.fileOf(index.Name, p.Source)
	writeJSON(w, http.StatusOK, o)
	return nil
}
