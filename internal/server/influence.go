package server

import (
	"errors"
	"net/http"

	"github.com/flashback-lm/flashback"
)

// influenceBody is a body of /v1/influence: a conversation up to its question, and how
// that was answered.
type influenceBody struct {
	Model     string           `json:"model"`
	Messages  []message        `json:"messages"`
	CacheSalt string           `json:"cache_salt"`
	Flashback extension        `json:"flashback"`
	Trace     *flashback.Trace `json:"trace"`
}

// influence is POST /v1/influence: what a chat was answered from, when it has been. The
// client brings what flashback.trace told, so nothing of an answer is kept here. The
// answer is scored once with its passages and once without each of them.
func (s *Server) influence(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body influenceBody
	if err := s.decode(w, r, &body, nil); err != nil {
		return err
	}
	messages, err := conversation(body.Messages)
	if err != nil {
		return err
	}
	if body.Trace == nil || len(body.Trace.Strides) == 0 {
		return Invalid("trace", "trace: give the one that the answer told with flashback.trace")
	}
	tokens := 0
	for _, stride := range body.Trace.Strides {
		tokens += len(stride.Tokens)
	}
	asked := common{Model: body.Model, MaxTokens: &tokens, CacheSalt: body.CacheSalt, Flashback: body.Flashback}
	request, lookUp, err := s.request(k, &asked, true)
	if err != nil {
		return err
	}
	defer lookUp.close()
	messages, prompt, plan, err := s.planChat(request, messages, lookUp != nil, true)
	if err != nil {
		return err
	}
	entryOf(r.Context()).model = body.Model
	leave, err := s.admission.enter(r.Context(), k, plan.KVTokens(prompt, plan.Passages+1))
	if err != nil {
		return gone(r.Context(), err)
	}
	defer leave()
	last := len(messages) - 1
	chat := s.o.Model.NewChat(messages[:last])
	defer chat.Close()
	if err := chat.Recall(messages[last].Content, plan.Request, *body.Trace); err != nil {
		if errors.Is(err, flashback.ErrOtherTrace) {
			return Invalid("trace", "%v", err)
		}
		return err
	}
	p, err := chat.Provenance(r.Context())
	if err != nil {
		return gone(r.Context(), err)
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "flashback.influence", "model": body.Model, "influence": p})
	return nil
}
