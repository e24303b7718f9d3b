package server

import "net/http"

// alive is what /health says.
var alive = map[string]string{"status": "ok"}

// health is GET /health: the process is alive.
func (s *Server) health(w http.ResponseWriter, _ *http.Request, _ *Key) error {
	writeJSON(w, http.StatusOK, alive)
	return nil
}

// ready is GET /ready: requests are taken in.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request, _ *Key) error {
	if s.admission.drains() {
		return draining()
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

// slot is a request under way.
type slot struct {
	State  string  `json:"state"` // running or waiting
	Tokens int     `json:"kv_tokens"`
	Age    float64 `json:"seconds"`
}

// slots is GET /slots: the key's requests under way, the oldest first.
func (s *Server) slots(w http.ResponseWriter, _ *http.Request, k *Key) error {
	writeJSON(w, http.StatusOK, s.admission.slots(k))
	return nil
}

// props is GET /props: what the server runs, and what of its memory is in use.
func (s *Server) props(w http.ResponseWriter, _ *http.Request, k *Key) error {
	info, kv := s.o.Model.Info(), s.o.Model.KV()
	running, waiting := s.admission.load()
	names := []string{}
	for _, m := range s.models(k) {
		names = append(names, m.ID)
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"model": s.o.Name, "models": names,
		"engine": info.Engine, "kernels": info.Kernels, "compute": info.Compute, "kv": info.KV, "threads": info.Threads,
		"max_model_len": info.Context, "vocab": info.Vocab,
		"kv_pages_used": kv.Pages, "kv_pages_kept": kv.Kept, "kv_pages_peak": kv.Peak, "kv_pages": kv.Limit, "kv_page_tokens": pageTokens,
		"requests_running": running, "requests_waiting": waiting,
	})
	return nil
}
