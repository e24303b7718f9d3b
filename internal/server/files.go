package server

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/library"
)

// storeRoutes are the endpoints that manage files and indexes.
func (s *Server) storeRoutes() {
	s.handle("POST /v1/files", s.manages(s.uploadFile))
	s.handle("GET /v1/files", s.listFiles)
	s.handle("GET /v1/files/{file}", s.getFile)
	s.handle("GET /v1/files/{file}/content", s.fileContent)
	s.handle("DELETE /v1/files/{file}", s.manages(s.deleteFile))

	s.handle("POST /v1/vector_stores", s.manages(s.createStore))
	s.handle("GET /v1/vector_stores", s.listStores)
	s.handle("GET /v1/vector_stores/{store}", s.inStore(s.getStore))
	s.handle("POST /v1/vector_stores/{store}", s.manages(s.inStore(s.modifyStore)))
	s.handle("DELETE /v1/vector_stores/{store}", s.manages(s.inStore(s.deleteStore)))
	s.handle("POST /v1/vector_stores/{store}/compact", s.manages(s.inStore(s.compactStore)))
	s.handle("POST /v1/vector_stores/{store}/verify", s.manages(s.inStore(s.verifyStore)))
	s.handle("GET /v1/vector_stores/{store}/documents", s.inStore(s.listDocuments))
	s.handle("POST /v1/vector_stores/{store}/search", s.inStore(s.searchStore))
	s.handle("GET /v1/vector_stores/{store}/passages/{passage}", s.inStore(s.getPassage))

	s.handle("POST /v1/vector_stores/{store}/files", s.manages(s.inStore(s.attachFile)))
	s.handle("GET /v1/vector_stores/{store}/files", s.inStore(s.listAttached))
	s.handle("GET /v1/vector_stores/{store}/files/{file}", s.inStore(s.getAttached))
	s.handle("DELETE /v1/vector_stores/{store}/files/{file}", s.manages(s.inStore(s.detachFile)))

	s.handle("POST /v1/vector_stores/{store}/file_batches", s.manages(s.inStore(s.createBatch)))
	s.handle("GET /v1/vector_stores/{store}/file_batches/{batch}", s.inStore(s.getBatch))
	s.handle("POST /v1/vector_stores/{store}/file_batches/{batch}/cancel", s.manages(s.inStore(s.cancelBatch)))
	s.handle("GET /v1/vector_stores/{store}/file_batches/{batch}/files", s.inStore(s.listBatch))
}

// manages lets only keys through that may make and change indexes.
func (s *Server) manages(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, k *Key) error {
		if !k.Manages() {
			return &Error{Status: http.StatusForbidden, Type: invalidRequest, Code: "not_allowed", Message: "this key may not change files and indexes"}
		}
		return h(w, r, k)
	}
}

// storeError says an error of the library to a client. What is wrong with this machine
// is told without its paths.
func storeError(err error) error {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return nil
	case is(library.ErrNotFound):
		return NotFound("", "not_found", "%v", err)
	case is(library.ErrBusy):
		return &Error{Status: http.StatusConflict, Type: invalidRequest, Code: "index_busy", Message: library.ErrBusy.Error(), RetryAfter: time.Second}
	case is(library.ErrGiven):
		return &Error{Status: http.StatusConflict, Type: invalidRequest, Code: "index_given", Message: err.Error()}
	case is(library.ErrTokenizer):
		return &Error{Status: http.StatusConflict, Type: invalidRequest, Code: "other_tokenizer", Message: err.Error()}
	case is(library.ErrTooLarge):
		return &Error{Status: http.StatusRequestEntityTooLarge, Type: invalidRequest, Code: "file_too_large", Param: "file", Message: err.Error()}
	case is(library.ErrKind):
		return &Error{Status: http.StatusUnsupportedMediaType, Type: invalidRequest, Code: "unsupported_file", Param: "file", Message: fmt.Sprintf("%v; read are text and %s", err, kindsOfFiles())}
	case is(library.ErrNoDir):
		return unsupported("", "this server keeps no files: start it with --library DIR")
	case is(library.ErrFull):
		return &Error{Status: http.StatusInsufficientStorage, Type: invalidRequest, Code: "too_many", Message: err.Error()}
	case atomicfile.NoSpace(err):
		return &Error{Status: http.StatusInsufficientStorage, Type: serverError, Code: "disk_full", Message: "the server's disk is full; nothing was changed"}
	}
	return err
}

// kindsOfFiles lists the endings that are known.
func kindsOfFiles() string {
	var all []string
	for _, k := range corpus.Kinds() {
		all = append(all, k.Extensions...)
	}
	return strings.Join(all, " ") + ", each also as .gz and .zst"
}

// fileObject is a file as OpenAI's API shows it.
type fileObject struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt *int64 `json:"expires_at"`
	Filename  string `json:"filename"`
	Purpose   string `json:"purpose"`
	Status    string `json:"status"`
}

func showFile(f library.File) fileObject {
	return fileObject{ID: f.ID, Object: "file", Bytes: f.Size, CreatedAt: f.Created.Unix(), Filename: f.Name, Purpose: f.Purpose, Status: "processed"}
}

// owns reports whether a key may see what belongs to an owner: its own, and everything
// if it may use every index.
func (k *Key) owns(owner string) bool { return k == nil || owner == k.Name || k.Index("*") }

// file returns a file that the key may see.
func (s *Server) file(k *Key, param, id string) (library.File, error) {
	f, err := s.o.Stores.File(id)
	if err != nil || !k.owns(f.Owner) {
		return f, NotFound(param, "not_found", "there is no file %q", clip(id))
	}
	return f, nil
}

// uploadFile is POST /v1/files. The file goes to the disk as it comes.
func (s *Server) uploadFile(w http.ResponseWriter, r *http.Request, k *Key) error {
	form, err := readForm(w, r, s.o.MaxUpload, s.o.UploadTime)
	if err != nil {
		return err
	}
	name, content, err := form.file()
	if err != nil {
		return err
	}
	f, err := s.o.Stores.Put(name, content, s.o.MaxUpload, func(f *library.File) error {
		f.Owner = k.id()
		f.Purpose, err = form.end()
		return err
	})
	if err != nil {
		return storeError(err)
	}
	writeJSON(w, http.StatusOK, showFile(f))
	return nil
}

// listFiles is GET /v1/files.
func (s *Server) listFiles(w http.ResponseWriter, r *http.Request, k *Key) error {
	p, err := readPage(r, 10_000, 10_000)
	if err != nil {
		return err
	}
	purpose := r.URL.Query().Get("purpose")
	all := []fileObject{}
	for _, f := range s.o.Stores.Files() {
		if k.owns(f.Owner) && (purpose == "" || f.Purpose == purpose) {
			all = append(all, showFile(f))
		}
	}
	return writeList(w, all, func(f fileObject) string { return f.ID }, p)
}

// getFile is GET /v1/files/{file}.
func (s *Server) getFile(w http.ResponseWriter, r *http.Request, k *Key) error {
	f, err := s.file(k, "", r.PathValue("file"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, showFile(f))
	return nil
}

// fileContent is GET /v1/files/{file}/content. A browser is to save it, whatever it is,
// and run nothing of it.
func (s *Server) fileContent(w http.ResponseWriter, r *http.Request, k *Key) error {
	f, err := s.file(k, "", r.PathValue("file"))
	if err != nil {
		return err
	}
	content, err := s.o.Stores.Content(f.ID)
	if err != nil {
		return storeError(err)
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", f.Created, content)
	return nil
}

// deleteFile is DELETE /v1/files/{file}: it goes from the indexes that have it, too.
func (s *Server) deleteFile(w http.ResponseWriter, r *http.Request, k *Key) error {
	f, err := s.file(k, "", r.PathValue("file"))
	if err == nil {
		err = storeError(s.o.Stores.Delete(r.Context(), f.ID))
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, deleted{f.ID, "file", true})
	return nil
}

// deleted says that something is gone.
type deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}
