package server

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
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
	if !body.Prompt.given {
		return Invalid("prompt", "the prompt is empty: give a text or a list of token ids")
	}
	n, err := body.choices()
	if err != nil {
		return err
	}
	request, lookUp, err := s.request(k, &body.common, false)
	if err != nil {
		return err
	}
	defer lookUp.close()
	if body.Flashback.Influence {
		return Invalid("flashback.influence", "flashback.influence is told of answers: POST /v1/chat/completions")
	}
	if body.Flashback.Cite == citeFooter {
		return Invalid("flashback.cite", "flashback.cite footer is for answers: POST /v1/chat/completions")
	}
	request.Logprobs = body.Logprobs != nil
	if request.Likeliest, err = likeliest("logprobs", body.Logprobs); err != nil {
		return err
	}
	if request.Tokens = body.Prompt.tokens; request.Tokens == nil {
		request.Tokens = s.o.Model.Tokens(body.Prompt.text, false)
	}
	if request.MaxTokens == 0 && !body.Echo {
		return Invalid("max_tokens", "max_tokens 0 writes nothing: ask for echo, or for a token")
	}
	writes := request.MaxTokens > 0
	if !writes {
		request.MaxTokens = 1
	}
	plan, err := s.plan(request, false, body.MaxTokens != nil, len(request.Tokens))
	if err != nil {
		return err
	}
	j := &job{
		shape: &textShape{s: s, id: newID("cmpl-"), created: time.Now().Unix(), model: body.Model, logprobs: body.Logprobs != nil, echo: body.Echo, at: make([]int, n)},
		key:   k, asked: &body.common, lookUp: lookUp, address: lookUp.address(s.base(r)),
		plan: plan, prompt: len(request.Tokens), choices: n,
		run: func(ctx context.Context) iter.Seq2[flashback.Choice, error] {
			if !writes {
				return nothing
			}
			return s.o.Model.Choices(ctx, plan.Request, n)
		},
	}
	if body.Echo {
		j.begin = func(ctx context.Context) (part, error) { return s.echo(ctx, plan.Request, body.Logprobs != nil) }
	}
	return s.generate(w, r, j)
}

// nothing is a text of no tokens.
func nothing(yield func(flashback.Choice, error) bool) {
	yield(flashback.Choice{Event: flashback.Finish{Reason: "limit"}}, nil)
}

// echo returns the prompt, with its tokens' log-probabilities where they are asked for.
func (s *Server) echo(ctx context.Context, r flashback.Request, logprobs bool) (part, error) {
	p := part{text: string([]rune(s.o.Model.Text(r.Tokens, false)))}
	if !logprobs {
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
	s              *Server
	id             string
	created        int64
	model          string
	logprobs, echo bool
	at             []int // characters of each choice so far, for the places of tokens
}

func (c *textShape) head() object {
	return object{"id": c.id, "object": "text_completion", "created": c.created, "model": c.model}
}

// event implements shape.
func (c *textShape) event(p part) any {
	o := c.head()
	choices := []object{}
	if p.index >= 0 && !p.role {
		choice := object{"index": p.index, "text": p.text, "logprobs": c.tokens(p.index, p.tokens), "finish_reason": orNull(p.finish)}
		if len(p.annotations) > 0 {
			choice["annotations"] = p.annotations
		}
		choices = append(choices, choice)
	}
	o["choices"] = choices
	return p.rest(o)
}

// whole implements shape.
func (c *textShape) whole(answers []answer, u *usage, x *extra) any {
	o := c.head()
	choices := []object{}
	for i, a := range answers {
		choice := object{"index": i, "text": a.text, "logprobs": c.tokens(i, a.tokens), "finish_reason": a.finish}
		if a.annotations != nil {
			choice["annotations"] = a.annotations
		}
		choices = append(choices, choice)
	}
	o["choices"], o["usage"], o["flashback"] = choices, u, x
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
