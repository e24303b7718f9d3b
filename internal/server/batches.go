package server

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/flashback-lm/flashback/internal/library"
)

// maxBatches is how many batches are remembered, the latest. What became of their files
// is told of each file as long as the index has it.
const maxBatches = 1000

// fileBatch is a number of files that were put into an index by one request.
type fileBatch struct {
	id, index string
	files     []string
	created   time.Time

	mu        sync.Mutex
	cancelled bool
}

// fileBatches are those that are remembered.
type fileBatches struct {
	mu  sync.Mutex
	all []*fileBatch
}

func (b *fileBatches) add(index string, files []string) *fileBatch {
	var id [12]byte
	rand.Read(id[:]) // never fails
	made := &fileBatch{id: "vsfb_" + hex.EncodeToString(id[:]), index: index, files: files, created: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all = append(b.all, made); len(b.all) > maxBatches {
		b.all = slices.Delete(b.all, 0, 1)
	}
	return made
}

// find returns the batch of an index that a request names.
func (b *fileBatches) find(r *http.Request, index string) (*fileBatch, error) {
	id := r.PathValue("batch")
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.IndexFunc(b.all, func(f *fileBatch) bool { return f.id == id && f.index == index })
	if at < 0 {
		return nil, NotFound("", "not_found", "the index %q has no batch %q, or it is too long ago", index, clip(id))
	}
	return b.all[at], nil
}

// batchObject is a batch as OpenAI's API shows it.
type batchObject struct {
	ID         string     `json:"id"`
	Object     string     `json:"object"`
	CreatedAt  int64      `json:"created_at"`
	Store      string     `json:"vector_store_id"`
	Status     string     `json:"status"`
	FileCounts fileCounts `json:"file_counts"`
}

// documents returns what became of a batch's files, of those that the index still has.
func (s *Server) documents(b *fileBatch) (documents []library.Document) {
	for _, id := range b.files {
		if d, err := s.o.Stores.Document(b.index, id); err == nil {
			documents = append(documents, d)
		}
	}
	return documents
}

func (s *Server) writeBatch(w http.ResponseWriter, b *fileBatch) {
	o := batchObject{ID: b.id, Object: "vector_store.files_batch", CreatedAt: b.created.Unix(), Store: b.index, Status: "completed"}
	states := map[library.State]int{}
	for _, d := range s.documents(b) {
		states[d.State]++
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o.FileCounts = countFiles(states); {
	case o.FileCounts.InProgress > 0:
		o.Status = "in_progress"
	case b.cancelled:
		o.Status = "cancelled"
	}
	w.Header().Set("Openai-Poll-After-Ms", pollAfter)
	writeJSON(w, http.StatusOK, o)
}

// createBatch is POST /v1/vector_stores/{store}/file_batches.
func (s *Server) createBatch(w http.ResponseWriter, r *http.Request, k *Key, index library.Info) error {
	b, err := s.readStore(w, r)
	if err != nil {
		return err
	}
	if len(b.Files) == 0 {
		return Invalid("file_ids", "file_ids: give 1 to %d", maxAttached)
	}
	if err := s.seesAll(k, b.Files); err != nil {
		return err
	}
	if err := s.attach(index.Name, b.Files); err != nil {
		return err
	}
	s.writeBatch(w, s.batches.add(index.Name, b.Files))
	return nil
}

// getBatch is GET /v1/vector_stores/{store}/file_batches/{batch}.
func (s *Server) getBatch(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	b, err := s.batches.find(r, index.Name)
	if err == nil {
		s.writeBatch(w, b)
	}
	return err
}

// cancelBatch is POST /v1/vector_stores/{store}/file_batches/{batch}/cancel: what is in
// the index already stays.
func (s *Server) cancelBatch(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	b, err := s.batches.find(r, index.Name)
	if err != nil {
		return err
	}
	for _, d := range s.documents(b) {
		if err := s.o.Stores.Cancel(index.Name, d.File); err != nil {
			return storeError(err)
		}
	}
	b.mu.Lock()
	b.cancelled = true
	b.mu.Unlock()
	s.writeBatch(w, b)
	return nil
}

// listBatch is GET /v1/vector_stores/{store}/file_batches/{batch}/files.
func (s *Server) listBatch(w http.ResponseWriter, r *http.Request, _ *Key, index library.Info) error {
	b, err := s.batches.find(r, index.Name)
	if err != nil {
		return err
	}
	return writeAttachedList(w, r, index, s.documents(b))
}
