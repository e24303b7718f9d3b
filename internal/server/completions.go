package server

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/flashback-lm/flashback"
)

// completionBody is a body of /v1/completions.
type completionBody struct {
	common
	Prompt   prompt `json:"prompt"`
	Echo     bool   `json:"echo"`
	Logprobs *int   `json:"logprobs"`
}

// prompt is a text or token ids.
type prompt struct {
	text   string
	tokens []int32
	given  bool
}

// UnmarshalJSON reads a text, token ids, or a list of one of either.
func (p *prompt) UnmarshalJSON(data []byte) error {
	var texts []string
	var tokens [][]int32
	switch {
	case json.Unmarshal(data, &p.text) == nil:
		p.given = p.text != ""
	case json.Unmarshal(data, &texts) == nil && len(texts) == 1:
		p.text, p.given = texts[0], texts[0] != ""
	case json.Unmarshal(data, &p.tokens) == nil:
		p.given = len(p.tokens) > 0
	case json.Unmarshal(data, &tokens) == nil && len(tokens) == 1:
		p.tokens, p.given = tokens[0], len(tokens[0]) > 0
	case texts != nil || tokens != nil:
		return unsupported("prompt", "prompt: this server goes on with one prompt a request")
	default:
		return Invalid("prompt", "prompt: give a text or a list of token ids")
	}
	return nil
}

// completions is POST /v1/completions.
func (s *Server) completions(w http.ResponseWriter, r *http.Request, k *Key) error {
	var body completionBody
	if err := s.decode(w, r, &body, refusedInCompletion); err != nil {
		return err
	}
	j, err := s.continuing(k, &body, s.base(r))
	if err != nil {
		return err
	}
	defer j.release()
	j.shape = &textShape{s: s, id: newID("cmpl-"), created: time.Now().Unix(), model: body.Model, logprobs: body.Logprobs != nil, at: make([]int, j.choices)}
	return s.generate(w, r, j)
}

// continuing resolves what a body asks of a text: a job that goes on with it. It has no
// shape yet. The addresses of passages begin with base.
func (s *Server) continuing(k *Key, body *completionBody, base string) (j *job, err error) {
	if !body.Prompt.given {
		return nil, Invalid("prompt", "the prompt is empty: give a text or a list of token ids")
	}
	n, err := body.choices()
	if err != nil {
		return nil, err
	}
	request, lookUp, err := s.request(k, &body.common, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lookUp.close()
		}
	}()
	if body.Flashback.Influence {
		return nil, Invalid("flashback.influence", "flashback.influence is told of answers: POST /v1/chat/completions")
	}
	if body.Flashback.Cite == citeFooter {
		return nil, Invalid("flashback.cite", "flashback.cite footer is for answers: POST /v1/chat/completions")
	}
	request.Logprobs = body.Logprobs != nil
	if request.Likeliest, err = likeliest("logprobs", body.Logprobs); err != nil {
		return nil, err
	}
	if request.Tokens = body.Prompt.tokens; request.Tokens == nil {
		request.Tokens = s.o.Model.Tokens(body.Prompt.text, false)
	}
	if request.MaxTokens == 0 && !body.Echo {
		return nil, Invalid("max_tokens", "max_tokens 0 writes nothing: ask for echo, or for a token")
	}
	writes := request.MaxTokens > 0
	if !writes {
		request.MaxTokens = 1
	}
	plan, err := s.plan(request, false, body.MaxTokens != nil, len(request.Tokens))
	if err != nil {
		return nil, err
	}
	j = &job{
		key: k, asked: &body.common, lookUp: lookUp, address: lookUp.address(base),
		plan: plan, prompt: len(request.Tokens), choices: n, release: sync.OnceFunc(lookUp.close),
		run: func(ctx context.Context) iter.Seq2[flashback.Choice, error] {
			if !writes {
				return nothing
			}
			return s.o.Model.Choices(ctx, plan.Request, n)
		},
	}
	if body.Echo {
		j.begin = func(ctx context.Context) (part, error) { return s.echo(ctx, body, plan.Request) }
	}
	return j, nil
}

// nothing is a text of no tokens.
func nothing(yield func(flashback.Choice, error) bool) {
	yield(flashback.Choice{Event: flashback.Finish{Reason: "limit"}}, nil)
}

// echo returns the prompt, with its tokens' log-probabilities where they are asked for.
func (s *Server) echo(ctx context.Context, body *completionBody, r flashback.Request) (part, error) {
	p := part{text: body.Prompt.text}
	if body.Prompt.tokens != nil {
		p.text = string([]rune(s.o.Model.Text(r.Tokens, false)))
	}
	if body.Logprobs == nil {
		return p, nil
	}
	err := s.o.Model.Score(ctx, r, func(token flashback.Likely, likeliest []flashback.Likely) {
		p.tokens = append(p.tokens, written{Likely: token, likeliest: likeliest})
	})
	if missing := len(r.Tokens) - len(p.tokens); missing > 0 { // none stands in front of the first
		p.tokens = append([]written{{Likely: flashback.Likely{ID: r.Tokens[0]}, none: true}}, p.tokens...)
	}
	return p, err
}

// textShape says what is written as /v1/completions does.
type textShape struct {
	s        *Server
	id       string
	created  int64
	model    string
	logprobs bool
	at       []int // characters of each choice so far, for the places of tokens
}

func (c *textShape) reply(choices ...object) reply {
	return reply{ID: c.id, Object: "text_completion", Created: c.created, Model: c.model, Choices: append([]object{}, choices...)}
}

// event implements shape.
func (c *textShape) event(p part) any {
	r := c.reply()
	if p.index >= 0 {
		r.Choices = append(r.Choices, c.choice(p.index, p.text, p.tokens, p.annotations, p.finish))
	}
	return r.event(p)
}

// whole implements shape.
func (c *textShape) whole(answers []answer, u *usage, x *extra) any {
	r := c.reply()
	for i, a := range answers {
		r.Choices = append(r.Choices, c.choice(i, a.text, a.tokens, a.annotations, a.finish))
	}
	r.Usage, r.Flashback = u, x
	return r
}

func (c *textShape) choice(index int, text string, tokens []written, annotations []annotation, finish string) object {
	o := object{"index": index, "text": text, "logprobs": c.tokens(index, tokens), "finish_reason": orNull(finish)}
	if len(annotations) > 0 {
		o["annotations"] = annotations
	}
	return o
}

// tokens returns logprobs of a choice; nil where nobody asked.
func (c *textShape) tokens(index int, tokens []written) any {
	if !c.logprobs {
		return nil
	}
	names, places := []string{}, []int{}
	logprobs, tops := []any{}, []any{}
	for _, t := range tokens {
		text, _ := c.s.tokenText(t.ID)
		names = append(names, text)
		places = append(places, c.at[index])
		c.at[index] += utf8.RuneCountInString(text)
		if t.none {
			logprobs, tops = append(logprobs, nil), append(tops, nil)
			continue
		}
		top := map[string]float64{}
		for _, l := range t.likeliest {
			name, _ := c.s.tokenText(l.ID)
			top[name] = max(logprob(l.Logprob), or(top, name))
		}
		logprobs, tops = append(logprobs, logprob(t.Logprob)), append(tops, top)
	}
	return object{"tokens": names, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": places}
}

// or returns what a map has of a key, or the least log-probability.
func or(m map[string]float64, key string) float64 {
	if v, ok := m[key]; ok {
		return v
	}
	return leastLogprob
}
