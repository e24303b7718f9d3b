package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// ollamaVersion is the version of Ollama whose API is spoken: the first whose /api/show
// tells what a model can do, which clients ask for.
const ollamaVersion = "0.6.4"

// ollamaRoutes are the endpoints of Ollama's API.
func (s *Server) ollamaRoutes() {
	s.handle("GET /api/version", s.ollamaVersion)
	s.handle("GET /api/tags", s.ollamaTags)
	s.handle("GET /api/ps", s.ollamaRunning)
	s.handle("POST /api/show", s.ollamaShow)
	s.handle("POST /api/chat", s.ollamaChat)
	s.handle("POST /api/generate", s.ollamaGenerate)
	s.handle("POST /api/embed", s.embeddings)
	s.handle("POST /api/embeddings", s.embeddings)
}

// isOllama reports whether a request is one of Ollama's API, whose errors are told by
// their message alone.
func isOllama(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// ollamaName returns a model's name without the tag that clients add.
func ollamaName(name string) string { return strings.TrimSuffix(name, ":latest") }

// ollamaVersion is GET /api/version.
func (s *Server) ollamaVersion(w http.ResponseWriter, _ *http.Request, _ *Key) error {
	writeJSON(w, http.StatusOK, object{"version": ollamaVersion})
	return nil
}

// ollamaDetails are what Ollama tells of a model's weights.
type ollamaDetails struct {
	Parent       string   `json:"parent_model"`
	Format       string   `json:"format"`
	Family       string   `json:"family"`
	Families     []string `json:"families"`
	Parameters   string   `json:"parameter_size"`
	Quantization string   `json:"quantization_level"`
}

func (s *Server) ollamaDetails() ollamaDetails {
	info, format := s.o.Model.Info(), "safetensors"
	if filepath.Ext(info.Model) == ".gguf" {
		format = "gguf"
	}
	return ollamaDetails{Format: format, Family: info.Family, Families: []string{info.Family}}
}

// ollamaModel is a model of a list.
type ollamaModel struct {
	Name     string        `json:"name"`
	Model    string        `json:"model"`
	Modified string        `json:"modified_at"`
	Size     int64         `json:"size"`
	Digest   string        `json:"digest"` // tells models apart; it is their names'
	Details  ollamaDetails `json:"details"`
}

// ollamaModels returns the models of these names. They have the same weights.
func (s *Server) ollamaModels(names ...string) []ollamaModel {
	size, details := bytesOf(s.o.Model.Info().Model), s.ollamaDetails()
	models := []ollamaModel{}
	for _, name := range names {
		digest := sha256.Sum256([]byte(name))
		models = append(models, ollamaModel{Name: name, Model: name, Modified: s.started.UTC().Format(time.RFC3339), Size: size,
			Digest: hex.EncodeToString(digest[:]), Details: details})
	}
	return models
}

// bytesOf returns how much a file or a directory has; 0 where it cannot be read.
func bytesOf(path string) (size int64) {
	filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

// ollamaTags is GET /api/tags: all models that the key may use.
func (s *Server) ollamaTags(w http.ResponseWriter, _ *http.Request, k *Key) error {
	var names []string
	for _, m := range s.models(k) {
		names = append(names, m.ID)
	}
	writeJSON(w, http.StatusOK, object{"models": s.ollamaModels(names...)})
	return nil
}

// ollamaRunning is GET /api/ps: the model is always loaded.
func (s *Server) ollamaRunning(w http.ResponseWriter, _ *http.Request, _ *Key) error {
	running := struct {
		ollamaModel
		Expires string `json:"expires_at"`
		VRAM    int64  `json:"size_vram"`
		Context int    `json:"context_length"`
	}{s.ollamaModels(s.o.Name)[0], s.started.AddDate(100, 0, 0).UTC().Format(time.RFC3339), 0, s.o.Model.Info().Context}
	writeJSON(w, http.StatusOK, object{"models": []any{running}})
	return nil
}

// ollamaShow is POST /api/show.
func (s *Server) ollamaShow(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body struct {
		Model string `json:"model"`
		Name  string `json:"name"` // what older clients call it
	}
	if err := s.decodeOllama(w, r, &body, nil); err != nil {
		return err
	}
	if _, err := s.parseName(k, ollamaName(cmp.Or(body.Model, body.Name))); err != nil {
		return err
	}
	info := s.o.Model.Info()
	family := cmp.Or(info.Family, "unknown") // of a model that another server runs
	writeJSON(w, http.StatusOK, object{
		"modelfile": "", "parameters": "", "template": "", "license": "", "details": s.ollamaDetails(), "capabilities": []string{"completion"},
		"modified_at": s.started.UTC().Format(time.RFC3339),
		"model_info":  object{"general.architecture": family, "general.basename": s.o.Name, family + ".context_length": info.Context, family + ".vocab_size": info.Vocab},
	})
	return nil
}

// decodeOllama is decode for clients that do not say what they send.
func (s *Server) decodeOllama(w http.ResponseWriter, r *http.Request, v any, refused map[string]refusal) error {
	r.Header.Set("Content-Type", "application/json")
	return s.decode(w, r, v, refused)
}

// ollamaChat is POST /api/chat.
func (s *Server) ollamaChat(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body ollamaChatBody
	if err := s.decodeOllama(w, r, &body, refusedInOllama); err != nil {
		return err
	}
	if len(body.Messages) == 0 {
		return s.ollamaLoaded(w, k, &body.ollamaBody, true)
	}
	var messages []message
	for _, m := range body.Messages {
		messages = append(messages, m.message)
	}
	return s.ollamaAnswer(w, r, k, &body.ollamaBody, messages, true)
}

// ollamaGenerate is POST /api/generate: a prompt is a chat of one turn, or raw.
func (s *Server) ollamaGenerate(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body ollamaGenerateBody
	if err := s.decodeOllama(w, r, &body, refusedInOllama); err != nil {
		return err
	}
	switch {
	case body.Prompt == "":
		return s.ollamaLoaded(w, k, &body.ollamaBody, false)
	case body.Raw:
		return s.ollamaRaw(w, r, k, &body)
	}
	messages := []message{{Role: "user", Content: body.Prompt}}
	if body.System != "" {
		messages = append([]message{{Role: "system", Content: body.System}}, messages...)
	}
	return s.ollamaAnswer(w, r, k, &body.ollamaBody, messages, false)
}

// ollamaLoaded answers a request for nothing, by which clients have a model loaded.
func (s *Server) ollamaLoaded(w http.ResponseWriter, k *Key, body *ollamaBody, chat bool) error {
	if _, err := s.parseName(k, ollamaName(body.Model)); err != nil {
		return err
	}
	o := ollamaLine(body.Model, "", chat)
	o["done"], o["done_reason"] = true, "load"
	writeJSON(w, http.StatusOK, o)
	return nil
}

// ollamaAnswer answers a conversation.
func (s *Server) ollamaAnswer(w http.ResponseWriter, r *http.Request, k *Key, body *ollamaBody, messages []message, chat bool) error {
	asked, err := conversation(messages)
	if err != nil {
		return err
	}
	c, err := body.common()
	if err != nil {
		return err
	}
	if c.Flashback.Cite == "" { // there is no place for annotations
		c.Flashback.Cite = citeFooter
	}
	j, err := s.answering(k, &chatBody{common: *c}, asked, s.base(r))
	if err != nil {
		return err
	}
	return s.ollamaRun(w, r, j, body, chat)
}

// ollamaRaw goes on with a text.
func (s *Server) ollamaRaw(w http.ResponseWriter, r *http.Request, k *Key, body *ollamaGenerateBody) error {
	if body.System != "" {
		return unsupported("system", "system: a raw prompt has none")
	}
	c, err := body.common()
	if err != nil {
		return err
	}
	j, err := s.continuing(k, &completionBody{common: *c, Prompt: prompt{text: body.Prompt, given: true}}, s.base(r))
	if err != nil {
		return err
	}
	return s.ollamaRun(w, r, j, &body.ollamaBody, false)
}

// ollamaLine is what is told of some text.
func ollamaLine(model, text string, chat bool) object {
	o := object{"model": model, "created_at": time.Now().UTC().Format(time.RFC3339Nano), "done": false}
	if chat {
		o["message"] = object{"role": "assistant", "content": text}
	} else {
		o["response"] = text
	}
	return o
}

// ollamaRun runs a job and answers with lines, or with one object.
func (s *Server) ollamaRun(w http.ResponseWriter, r *http.Request, j *job, body *ollamaBody, chat bool) error {
	defer j.release()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	var lines *events
	if j.asked.Stream {
		lines = newLines(w, s.o, cancel)
		defer lines.close()
	}
	began := time.Now()
	var whole strings.Builder
	told, finish := &extra{}, ""
	used, err := s.follow(ctx, j, func(p part) error {
		told.add(p)
		if p.finish != "" {
			finish = p.finish
		}
		if lines != nil && p.text != "" {
			return lines.sendLine(ollamaLine(body.Model, p.text, chat))
		}
		whole.WriteString(p.text)
		return nil
	})
	switch {
	case lines != nil && errors.Is(err, errGone):
		return nil
	case lines != nil && err != nil && lines.begun():
		lines.sendLine(object{"error": asError(err).Message})
		return nil
	case err != nil:
		return err
	}
	o := ollamaLine(body.Model, whole.String(), chat)
	o["done"], o["done_reason"], o["flashback"] = true, finish, told
	entry, total := entryOf(r.Context()), time.Since(began)
	reading := max(0, entry.first-entry.queued)
	o["total_duration"], o["load_duration"] = total, 0
	o["prompt_eval_count"], o["prompt_eval_duration"] = used.Prompt, reading
	o["eval_count"], o["eval_duration"] = used.Completion, max(0, total-reading)
	if lines != nil {
		lines.sendLine(o)
		return nil
	}
	writeJSON(w, http.StatusOK, o)
	return nil
}
