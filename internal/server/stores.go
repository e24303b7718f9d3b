package server

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/flashback-lm/flashback/internal/library"
)

// managed is a library as those see it who look passages up.
type managed struct{ *library.Library }

// Acquire implements Library.
func (m managed) Acquire(names ...string) (Reading, error) { return m.Library.Acquire(names...) }

// mayUse reports whether a key may use the index of a name, if there is one: it was
// given, or made by that key.
func (s *Server) mayUse(k *Key, index string) bool {
	return k.Index(index) || s.o.Stores != nil && k != nil && s.o.Stores.Owner(index) == k.Name
}

// storeHandler answers for an index that the key may use.
type storeHandler func(w http.ResponseWriter, r *http.Request, k *Key, index library.Info) error

// inStore finds the index that an address names.
func (s *Server) inStore(h storeHandler) handler {
	return func(w http.ResponseWriter, r *http.Request, k *Key) error {
		info, err := s.store(k, r.PathValue("store"))
		if err != nil {
			return err
		}
		return h(w, r, k, info)
	}
}

// store returns what is known of an index. One that the key may not use is not there.
func (s *Server) store(k *Key, name string) (library.Info, error) {
	missing := NotFound("", "not_found", "there is no vector store %q", clip(name))
	if !s.mayUse(k, name) {
		return library.Info{}, missing
	}
	info, err := s.o.Stores.Info(name)
	if errors.Is(err, library.ErrNotFound) {
		return info, missing
	}
	return info, storeError(err)
}

// storeObject is an index as OpenAI's API shows it, and what it knows of itself.
type storeObject struct {
	ID           string            `json:"id"`
	Object       string            `json:"object"`
	CreatedAt    int64             `json:"created_at"`
	Name         string            `json:"name"`
	UsageBytes   int64             `json:"usage_bytes"`
	FileCounts   fileCounts        `json:"file_counts"`
	Status       string            `json:"status"`
	ExpiresAfter *struct{}         `json:"expires_after"`
	ExpiresAt    *int64            `json:"expires_at"`
	LastActiveAt int64             `json:"last_active_at"`
	Metadata     map[string]string `json:"metadata"`

	Documents  int    `json:"documents"` // in the index, uploaded or not
	Passages   int    `json:"passages"`
	Generation uint64 `json:"generation"` // counts the changes
}

// fileCounts says what became of what was uploaded for an index.
type fileCounts struct {
	InProgress int `json:"in_progress"`
	Completed  int `json:"completed"`
	Failed     int `json:"failed"`
	Cancelled  int `json:"cancelled"`
	Total      int `json:"total"`
}

// countFiles counts documents by what became of them.
func countFiles(states map[library.State]int) fileCounts {
	c := fileCounts{InProgress: states[library.Queued] + states[library.InProgress], Completed: states[library.Completed],
		Failed: states[library.Failed], Cancelled: states[library.Cancelled]}
	c.Total = c.InProgress + c.Completed + c.Failed + c.Cancelled
	return c
}

func showStore(i library.Info) storeObject {
	o := storeObject{ID: i.Name, Object: "vector_store", CreatedAt: i.Created.Unix(), Name: i.Label, UsageBytes: i.Bytes, Status: "completed",
		LastActiveAt: i.Changed.Unix(), Metadata: map[string]string{}, Documents: i.Sources, Passages: i.Passages, Generation: i.Generation}
	if !i.Made {
		o.CreatedAt, o.Name = o.LastActiveAt, i.Name
	}
	if o.FileCounts = countFiles(i.Documents); o.FileCounts.InProgress > 0 {
		o.Status = "in_progress"
	}
	return o
}

// What requests about indexes refuse of OpenAI's API.
var refusedInStores = map[string]refusal{
	"metadata": {"{}"}, "expires_after": nil, "description": {`""`}, "attributes": {"{}"}, "chunking_strategy": {`{"type":"auto"}`},
	"files": {"[]"}, "filters": nil, "rewrite_query": {"false"},
}

// Bounds of what requests about indexes may bring.
const (
	maxLabel    = 256 // characters
	maxAttached = 500 // files at once
)

// storeRequest makes or changes an index.
type storeRequest struct {
	Name  *string  `json:"name"`
	Files []string `json:"file_ids"`
}

// readStore reads the body of a request that makes or changes an index.
func (s *Server) readStore(w http.ResponseWriter, r *http.Request) (b storeRequest, err error) {
	if err := s.decode(w, r, &b, refusedInStores); err != nil {
		return b, err
	}
	if b.Name != nil && (utf8.RuneCountInString(*b.Name) > maxLabel || strings.ContainsFunc(*b.Name, func(r rune) bool { return r < ' ' })) {
		return b, Invalid("name", "name: give up to %d characters of one line", maxLabel)
	}
	if len(b.Files) > maxAttached {
		return b, Invalid("file_ids", "file_ids: give up to %d", maxAttached)
	}
	return b, nil
}

// createStore is POST /v1/vector_stores.
func (s *Server) createStore(w http.ResponseWriter, r *http.Request, k *Key) error {
	b, err := s.readStore(w, r)
	if err != nil {
		return err
	}
	if err := s.seesAll(k, b.Files); err != nil {
		return err
	}
	label := ""
	if b.Name != nil {
		label = *b.Name
	}
	info, err := s.o.Stores.Create(r.Context(), label, k.id())
	if err != nil {
		return storeError(err)
	}
	if err := s.attach(info.Name, b.Files); err != nil {
		return err
	}
	if info, err = s.o.Stores.Info(info.Name); err != nil {
		return storeError(err)
	}
	writeJSON(w, http.StatusOK, showStore(info))
	return nil
}

// listStores is GET /v1/vector_stores: those that were given, by name, count as the oldest.
func (s *Server) listStores(w http.ResponseWriter, r *http.Request, k *Key) error {
	p, err := readPage(r, 20, 100)
	if err != nil {
		return err
	}
	var all []library.Info
	for _, name := range s.o.Stores.Names() {
		if !s.mayUse(k, name) {
			continue
		}
		info, err := s.o.Stores.Info(name)
		if errors.Is(err, library.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return storeError(err)
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b library.Info) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) })
	shown := make([]storeObject, len(all))
	for i, info := range all {
		shown[i] = showStore(info)
	}
	return writeList(w, shown, func(o storeObject) string { return o.ID }, p)
}

// getStore is GET /v1/vector_stores/{store}.
func (s *Server) getStore(w http.ResponseWriter, _ *http.Request, _ *Key, index library.Info) error {
	writeJSON(w, http.StatusOK, showStore(index))
	return nil
}

// modifyStore is POST /v1/vector_stores/{store}: it gives it another name for people.
func (s *Server) modifyStore(w http.ResponseWriter, r *http.Request, k *Key, index library.Info) error {
	b, err := s.readStore(w, r)
	if err != nil {
		return err
	}
	if b.Name != nil {
		if err := s.o.Stores.Rename(index.Name, *b.Name); err != nil {
			return storeError(err)
		}
	}
	if index, err = s.store(k, index.Name); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, showStore(index))
	return nil
}

// deleteStore is DELETE /v1/vector_stores/{store}.
func (s *Server) deleteStore(w http.ResponseWriter, _ *http.Request, _ *Key, index library.Info) error {
	if err := s.o.Stores.Remove(index.Name); err != nil {
		return storeError(err)
	}
	writeJSON(w, http.StatusOK, deleted{index.Name, "vector_store.deleted", true})
	return nil
}

// compactStore is POST /v1/vector_stores/{store}/compact: passages of documents that were
// taken out count in scores until then.
func (s *Server) compactStore(w http.ResponseWriter, r *http.Request, k *Key, index library.Info) error {
	if err := s.o.Stores.Compact(r.Context(), index.Name); err != nil {
		return storeError(err)
	}
	index, err := s.store(k, index.Name)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, showStore(index))
	return nil
}
