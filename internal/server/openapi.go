package server

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"
)

// description is the API in OpenAPI 3.1. Tests hold each request that is granted and
// each answer against it, and it against the routes.
//
//go:embed openapi.yaml
var description []byte

// descriptionJSON returns it as JSON.
var descriptionJSON = sync.OnceValues(func() (json.RawMessage, error) {
	var v any
	if err := yaml.Unmarshal(description, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
})

// openAPI is GET /openapi.json.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request, _ *Key) error {
	d, err := descriptionJSON()
	if err == nil {
		writeJSON(w, http.StatusOK, d)
	}
	return err
}
