package server

import (
	"context"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/flashback-lm/flashback"
)

// chatBody is a body of /v1/chat/completions.
type chatBody struct {
	common
	Messages            []message `json:"messages"`
	MaxCompletionTokens *int      `json:"max_completion_tokens"`
	Logprobs            bool      `json:"logprobs"`
	TopLogprobs         *int      `json:"top_logprobs"`
}

// chat is POST /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body chatBody
	if err := s.decode(w, r, &body, refusedInChat); err != nil {
		return err
	}
	messages, err := conversation(body.Messages)
	if err != nil {
		return err
	}
	if body.MaxCompletionTokens != nil {
		body.MaxTokens = body.MaxCompletionTokens
	}
	j, err := s.answering(k, &body, messages, s.base(r))
	if err != nil {
		return err
	}
	defer j.release()
	j.shape = &chatShape{s, newID("chatcmpl-"), time.Now().Unix(), body.Model, body.Logprobs}
	return s.generate(w, r, j)
}

// answering resolves what a body asks of a conversation: a job that answers the last of
// the messages. It has no shape yet. The addresses of passages begin with base.
func (s *Server) answering(k *Key, body *chatBody, messages []flashback.Message, base string) (j *job, err error) {
	n, err := body.choices()
	if err != nil {
		return nil, err
	}
	request, lookUp, err := s.request(k, &body.common, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lookUp.close()
		}
	}()
	if request.MaxTokens < 1 {
		return nil, Invalid("max_tokens", "max_tokens %d: must be at least 1", request.MaxTokens)
	}
	request.Logprobs = body.Logprobs
	if request.Likeliest, err = likeliest("top_logprobs", body.TopLogprobs); err != nil {
		return nil, err
	}
	if body.TopLogprobs != nil && !body.Logprobs {
		return nil, Invalid("top_logprobs", "top_logprobs needs logprobs to be true")
	}
	if body.Flashback.Influence && n > 1 {
		return nil, Invalid("flashback.influence", "flashback.influence is told of one answer: leave n at 1")
	}
	if engine := s.o.Model.Info().Engine; body.Flashback.Influence && engine != "" {
		return nil, unsupported("flashback.influence", "flashback.influence: %s runs the model, which shows no probabilities", engine)
	}
	messages, prompt, plan, err := s.planChat(request, messages, lookUp != nil, body.MaxTokens != nil)
	if err != nil {
		return nil, err
	}
	last := len(messages) - 1
	chat := s.o.Model.NewChat(messages[:last])
	j = &job{
		key: k, asked: &body.common, lookUp: lookUp, address: lookUp.address(base),
		plan: plan, prompt: prompt, choices: n, chat: true, release: sync.OnceFunc(func() { chat.Close(); lookUp.close() }),
		run: func(ctx context.Context) iter.Seq2[flashback.Choice, error] {
			return chat.Choices(ctx, messages[last].Content, plan.Request, n)
		},
	}
	if body.Flashback.Influence {
		j.provenance = chat.Provenance
	}
	return j, nil
}

// planChat resolves a request of a conversation. It returns the messages with the server's
// system message where one belongs, how many tokens they are, and how the last is answered.
func (s *Server) planChat(r flashback.Request, messages []flashback.Message, looksUp, named bool) ([]flashback.Message, int, flashback.Plan, error) {
	messages = s.withSystem(messages, looksUp)
	tokens, err := s.o.Model.ChatTokens(messages)
	if err != nil {
		return nil, 0, flashback.Plan{}, Invalid("messages", "%v", err)
	}
	plan, err := s.plan(r, true, named, len(tokens))
	return messages, len(tokens), plan, err
}

// withSystem puts the server's system message in front of a conversation that has none
// and is answered from passages.
func (s *Server) withSystem(messages []flashback.Message, looksUp bool) []flashback.Message {
	if !looksUp || s.o.System == "" || messages[0].Role == "system" {
		return messages
	}
	return append([]flashback.Message{{Role: "system", Content: s.o.System}}, messages...)
}

// chatShape says what is written as /v1/chat/completions does.
type chatShape struct {
	s        *Server
	id       string
	created  int64
	model    string
	logprobs bool
}

type object map[string]any

// reply is what both endpoints answer, whole or as an event.
type reply struct {
	ID        string   `json:"id"`
	Object    string   `json:"object"`
	Created   int64    `json:"created"`
	Model     string   `json:"model"`
	Choices   []object `json:"choices"`
	Usage     any      `json:"usage,omitempty"` // a *usage that is nil is null
	Flashback *extra   `json:"flashback,omitempty"`
}

// event returns the reply as the event of a part.
func (r reply) event(p part) any {
	if p.extra != nil && p.extra.source != nil {
		return p.extra.source
	}
	if r.Flashback = p.extra; p.usages {
		r.Usage = p.usage
	}
	return r
}

func (c *chatShape) reply(kind string, choices ...object) reply {
	return reply{ID: c.id, Object: kind, Created: c.created, Model: c.model, Choices: append([]object{}, choices...)}
}

// event implements shape.
func (c *chatShape) event(p part) any {
	r := c.reply("chat.completion.chunk")
	if p.index >= 0 {
		delta := object{}
		if p.role {
			delta["role"], delta["content"] = "assistant", ""
		}
		if p.text != "" {
			delta["content"] = p.text
		}
		if len(p.annotations) > 0 {
			delta["annotations"] = p.annotations
		}
		r.Choices = append(r.Choices, object{"index": p.index, "delta": delta, "logprobs": c.tokens(p.tokens), "finish_reason": orNull(p.finish)})
	}
	return r.event(p)
}

// whole implements shape.
func (c *chatShape) whole(answers []answer, u *usage, x *extra) any {
	r := c.reply("chat.completion")
	for i, a := range answers {
		message := object{"role": "assistant", "content": a.text, "refusal": nil, "annotations": append([]annotation{}, a.annotations...)}
		r.Choices = append(r.Choices, object{"index": i, "message": message, "logprobs": c.tokens(a.tokens), "finish_reason": a.finish})
	}
	r.Usage, r.Flashback = u, x
	return r
}

// tokens returns logprobs of a choice; nil where nobody asked.
func (c *chatShape) tokens(tokens []written) any {
	if !c.logprobs || tokens == nil {
		return nil
	}
	return object{"content": c.s.logprobs(tokens), "refusal": nil}
}

// logprobs says of each token what was asked of its probability.
func (s *Server) logprobs(tokens []written) []object {
	one := func(l flashback.Likely) object {
		text, bytes := s.tokenText(l.ID)
		return object{"token": text, "logprob": logprob(l.Logprob), "bytes": bytes}
	}
	content := []object{}
	for _, t := range tokens {
		o := one(t.Likely)
		top := []object{}
		for _, l := range t.likeliest {
			top = append(top, one(l))
		}
		o["top_logprobs"] = top
		content = append(content, o)
	}
	return content
}

// orNull returns a string that JSON says as null where it is empty.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
