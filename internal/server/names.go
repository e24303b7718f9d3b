package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/library"
)

// named is what a model's name, base[+adapter][@index], stands for.
type named struct {
	adapter string // "": none is named; noAdapter: the model alone
	index   string // "": none
}

// noAdapter names the model alone, where answers would be written with an adapter.
const noAdapter = "none"

// CheckName reports whether an adapter or an index may be called that: as the library has
// it of indexes, since both stand in names of models and in addresses.
func CheckName(name string) bool { return library.CheckName(name) == nil && name != noAdapter }

// parseName reads the name of a model that the key may use.
func (s *Server) parseName(k *Key, name string) (n named, err error) {
	rest, index, hasIndex := strings.Cut(name, "@")
	base, adapter, hasAdapter := strings.Cut(rest, "+")
	n = named{adapter, index}
	known := base == s.o.Name && (!hasIndex || s.mayLookIn(k, index)) &&
		(!hasAdapter || adapter == noAdapter || s.o.adapter(adapter) != nil && k.Adapter(adapter))
	if !known {
		return n, NotFound("model", "model_not_found", "there is no model %q; GET /v1/models lists those that there are", clip(name))
	}
	return n, nil
}

// mayLookIn reports whether there is an index of that name and the key may use it.
func (s *Server) mayLookIn(k *Key, name string) bool {
	return s.mayUse(k, name) && slices.Contains(s.indexes(), name)
}

// indexes returns the names of all indexes.
func (s *Server) indexes() []string {
	if s.o.Library == nil {
		return nil
	}
	return s.o.Library.Names()
}

// model is an entry of /v1/models.
type model struct {
	ID      string  `json:"id"`
	Object  string  `json:"object"`
	Created int64   `json:"created"` // when the server started, in seconds
	OwnedBy string  `json:"owned_by"`
	Parent  *string `json:"parent"`        // the model without the last part of its name
	Context int     `json:"max_model_len"` // positions
}

// models returns all that the key may use.
func (s *Server) models(k *Key) []model {
	var all []model
	context := s.o.Model.Info().Context
	add := func(id string, parent *string) {
		all = append(all, model{ID: id, Object: "model", Created: s.started.Unix(), OwnedBy: "flashback", Parent: parent, Context: context})
	}
	bases := []string{s.o.Name}
	add(s.o.Name, nil)
	for _, a := range s.o.Adapters {
		if k.Adapter(a.Name) {
			bases = append(bases, s.o.Name+"+"+a.Name)
			add(bases[len(bases)-1], &s.o.Name)
		}
	}
	for _, index := range s.indexes() {
		for i := range bases {
			if s.mayUse(k, index) {
				add(bases[i]+"@"+index, &bases[i])
			}
		}
	}
	return all
}

// listModels is GET /v1/models.
func (s *Server) listModels(w http.ResponseWriter, _ *http.Request, k *Key) error {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": s.models(k)})
	return nil
}

// getModel is GET /v1/models/{id}.
func (s *Server) getModel(w http.ResponseWriter, r *http.Request, k *Key) error {
	id := r.PathValue("id")
	for _, m := range s.models(k) {
		if m.ID == id {
			writeJSON(w, http.StatusOK, m)
			return nil
		}
	}
	return NotFound("model", "model_not_found", "there is no model %q; GET /v1/models lists those that there are", clip(id))
}

// clip shortens what a client sent for a message to it.
func clip(s string) string {
	const most = 100
	for i := range s {
		if i >= most {
			return s[:i] + "…"
		}
	}
	return s
}
