package server

import "net/http"

// tokenize is POST /tokenize: the ids of a text.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request, _ *Key) error {
	var body struct {
		Content *string `json:"content"`
		Prompt  *string `json:"prompt"`        // as vLLM calls it
		Special bool    `json:"parse_special"` // read control tokens that it names
	}
	if err := s.decode(w, r, &body, nil); err != nil {
		return err
	}
	text := body.Content
	if text == nil {
		text = body.Prompt
	}
	if text == nil {
		return Invalid("content", "content: give the text to be tokenized")
	}
	tokens := s.o.Model.Tokens(*text, body.Special)
	if tokens == nil {
		tokens = []int32{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"tokens": tokens, "count": len(tokens), "max_model_len": s.o.Model.Info().Context})
	return nil
}

// detokenize is POST /detokenize: the text of ids.
func (s *Server) detokenize(w http.ResponseWriter, r *http.Request, _ *Key) error {
	var body struct {
		Tokens  []int32 `json:"tokens"`
		Special bool    `json:"special"` // name control tokens, which are left out otherwise
	}
	if err := s.decode(w, r, &body, nil); err != nil {
		return err
	}
	text := string([]rune(s.o.Model.Text(body.Tokens, body.Special)))
	writeJSON(w, http.StatusOK, map[string]any{"content": text, "prompt": text})
	return nil
}

// applyTemplate is POST /apply-template: the prompt that is made of a conversation.
func (s *Server) applyTemplate(w http.ResponseWriter, r *http.Request, _ *Key) error {
	var body struct {
		Messages []message `json:"messages"`
	}
	if err := s.decode(w, r, &body, nil); err != nil {
		return err
	}
	messages, err := conversation(body.Messages)
	if err != nil {
		return err
	}
	tokens, err := s.o.Model.ChatTokens(messages)
	if err != nil {
		return Invalid("messages", "%v", err)
	}
	writeJSON(w, http.StatusOK, map[string]any{"prompt": string([]rune(s.o.Model.Text(tokens, true))), "tokens": tokens})
	return nil
}

// embeddings is POST /v1/embeddings: there is no model for them yet.
func (s *Server) embeddings(http.ResponseWriter, *http.Request, *Key) error {
	e := Invalid("", "this server has no model for embeddings")
	e.Code = "unsupported"
	return e
}
