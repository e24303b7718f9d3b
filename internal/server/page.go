package server

import (
	"net/http"

	"github.com/flashback-lm/flashback/internal/webpage"
)

// root is GET /: the page that shows what the server does. There is nothing in it that
// wants a key; it asks for one where the API does.
func (s *Server) root(w http.ResponseWriter, r *http.Request, _ *Key) error {
	return showPage(w, r, webpage.Index)
}

// pageFile is GET /page/{file}: what the page is made of.
func (s *Server) pageFile(w http.ResponseWriter, r *http.Request, _ *Key) error {
	return showPage(w, r, r.PathValue("file"))
}

func showPage(w http.ResponseWriter, r *http.Request, name string) error {
	f, ok := webpage.Lookup(name)
	if !ok {
		return NotFound("", "not_found", "the page has no file %q", clip(name))
	}
	h := w.Header()
	h.Set("Content-Security-Policy", webpage.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // a newer server has another page
	h.Set("Etag", f.Tag)
	if r.Header.Get("If-None-Match") == f.Tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", f.Type)
	_, err := w.Write(f.Content)
	return err
}
