package server

import (
	"errors"
	"net/http"

	"github.com/flashback-lm/flashback/internal/library"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// verification says whether the files of an index are as they were written.
type verification struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Good     bool   `json:"good"`
	Fault    string `json:"fault,omitempty"`
	Sources  int    `json:"documents"`
	Passages int    `json:"passages"`
	Deleted  int    `json:"deleted"` // passages that were taken out, and count in scores until it is compacted
	Segments int    `json:"segments"`
}

// verifyStore is POST /v1/vector_stores/{store}/verify: the index is read whole, and what
// does not agree is told. Nobody changes it meanwhile.
func (s *Server) verifyStore(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	info, err := s.o.Stores.Verify(r.Context(), index.Name)
	v := verification{ID: index.Name, Object: "vector_store.verification", Good: err == nil,
		Sources: info.Sources, Passages: info.Passages, Deleted: info.Deleted, Segments: info.Segments}
	switch {
	case err == nil:
	case errors.Is(err, bm25.ErrDamaged):
		v.Fault = "a file of the index is damaged; index its documents again. The server's log says which"
		s.o.Log.Error("an index is damaged", "index", index.Name, "error", err)
	default:
		return storeError(err)
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}

// documentObject is a document that an index holds, uploaded or not.
type documentObject struct {
	ID         string `json:"id"` // its source in the index
	Object     string `json:"object"`
	Title      string `json:"title"`
	Passages   int    `json:"passages"`
	Bytes      int64  `json:"bytes"`
	ModifiedAt *int64 `json:"modified_at"`
	File       string `json:"file_id,omitempty"` // that it was uploaded as
}

// listDocuments is GET /v1/vector_stores/{store}/documents, in the order of their names.
func (s *Server) listDocuments(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	p, err := readPage(r, 100, 1000)
	if err != nil {
		return err
	}
	if q := r.URL.Query(); q.Has("before") || q.Has("order") {
		return Invalid("order", "documents are listed by name: give limit and after only")
	}
	sources, more, err := s.o.Stores.Sources(index.Name, p.after, p.limit)
	if err != nil {
		return storeError(err)
	}
	l := listing[documentObject]{Object: "list", Data: []documentObject{}, More: more}
	for _, source := range sources {
		o := documentObject{ID: source.Name, Object: "vector_store.document", Title: source.Title, Passages: source.Passages, Bytes: source.Size}
		if !source.Modified.IsZero() {
			o.ModifiedAt = new(source.Modified.Unix())
		}
		if d, ok := s.o.Stores.Upload(index.Name, source.Name); ok {
			o.File = d.File
		}
		l.Data = append(l.Data, o)
	}
	if n := len(l.Data); n > 0 {
		l.First, l.Last = &l.Data[0].ID, &l.Data[n-1].ID
	}
	writeJSON(w, http.StatusOK, l)
	return nil
}
