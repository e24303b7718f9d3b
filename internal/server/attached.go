package server

import (
	"net/http"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/library"
)

// attachedObject is a document of an index as OpenAI's API shows it.
type attachedObject struct {
	ID         string            `json:"id"`
	Object     string            `json:"object"`
	CreatedAt  int64             `json:"created_at"`
	Store      string            `json:"vector_store_id"`
	UsageBytes int64             `json:"usage_bytes"`
	Status     string            `json:"status"`
	LastError  *attachedError    `json:"last_error"`
	Chunking   chunkingStrategy  `json:"chunking_strategy"`
	Attributes map[string]string `json:"attributes"`

	Filename string  `json:"filename"`
	Progress float64 `json:"progress"` // from 0 to 1
}

type attachedError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// chunkingStrategy says how documents are cut.
type chunkingStrategy struct {
	Type   string `json:"type"`
	Static *struct {
		Size    int `json:"max_chunk_size_tokens"`
		Overlap int `json:"chunk_overlap_tokens"`
	} `json:"static,omitempty"`
}

func showAttached(index library.Info, d library.Document) attachedObject {
	o := attachedObject{ID: d.File, Object: "vector_store.file", CreatedAt: d.Added.Unix(), Store: index.Name, UsageBytes: d.Size, Status: string(d.State),
		Chunking: chunkingStrategy{Type: "other"}, Attributes: map[string]string{}, Filename: d.Name, Progress: d.Progress}
	if d.State == library.Queued {
		o.Status = string(library.InProgress)
	}
	if d.State == library.Failed {
		o.LastError = &attachedError{"server_error", d.Error}
		if d.Unreadable {
			o.LastError.Code = "invalid_file"
		}
	}
	if c := index.Chunking; c.Unit == corpus.Tokens {
		o.Chunking.Type = "static"
		o.Chunking.Static = &struct {
			Size    int `json:"max_chunk_size_tokens"`
			Overlap int `json:"chunk_overlap_tokens"`
		}{c.Size, c.Overlap}
	}
	return o
}

// pollAfter is when clients that wait for a document are to ask again, in milliseconds.
const pollAfter = "200"

func writeAttached(w http.ResponseWriter, index library.Info, d library.Document) {
	w.Header().Set("Openai-Poll-After-Ms", pollAfter)
	writeJSON(w, http.StatusOK, showAttached(index, d))
}

// seesAll returns an error for the first of the files that the key may not see.
func (s *Server) seesAll(k *Key, files []string) error {
	for _, id := range files {
		if _, err := s.file(k, "file_ids", id); err != nil {
			return err
		}
	}
	return nil
}

// attach puts files into an index.
func (s *Server) attach(index string, files []string) error {
	for _, id := range files {
		if _, err := s.o.Stores.Attach(index, id); err != nil {
			return storeError(err)
		}
	}
	return nil
}

// attachFile is POST /v1/vector_stores/{store}/files: the file becomes a document of the
// index in the background.
func (s *Server) attachFile(w http.ResponseWriter, r *http.Request, k *Key, index library.Info) error {
	var b struct {
		File string `json:"file_id"`
	}
	if err := s.decode(w, r, &b, refusedInStores); err != nil {
		return err
	}
	f, err := s.file(k, "file_id", b.File)
	if err != nil {
		return err
	}
	d, err := s.o.Stores.Attach(index.Name, f.ID)
	if err != nil {
		return storeError(err)
	}
	writeAttached(w, index, d)
	return nil
}

// listAttached is GET /v1/vector_stores/{store}/files.
func (s *Server) listAttached(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	documents, err := s.o.Stores.Documents(index.Name)
	if err != nil {
		return storeError(err)
	}
	return writeAttachedList(w, r, index, documents)
}

// writeAttachedList answers with a part of the documents, those of one status if the
// request asks for it.
func writeAttachedList(w http.ResponseWriter, r *http.Request, index library.Info, documents []library.Document) error {
	p, err := readPage(r, 20, 100)
	if err != nil {
		return err
	}
	filter := r.URL.Query().Get("filter")
	var all []attachedObject
	for _, d := range documents {
		if o := showAttached(index, d); filter == "" || o.Status == filter {
			all = append(all, o)
		}
	}
	return writeList(w, all, func(o attachedObject) string { return o.ID }, p)
}

// getAttached is GET /v1/vector_stores/{store}/files/{file}.
func (s *Server) getAttached(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	d, err := s.o.Stores.Document(index.Name, r.PathValue("file"))
	if err != nil {
		return storeError(err)
	}
	writeAttached(w, index, d)
	return nil
}

// detachFile is DELETE /v1/vector_stores/{store}/files/{file}; the file itself stays.
func (s *Server) detachFile(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	id := r.PathValue("file")
	if err := s.o.Stores.Detach(r.Context(), index.Name, id); err != nil {
		return storeError(err)
	}
	writeJSON(w, http.StatusOK, deleted{id, "vector_store.file.deleted", true})
	return nil
}
