package peer

import (
	"context"
	"errors"
	"strconv"
)

// vllm speaks to vLLM's OpenAI server, with its own fields beside OpenAI's: token ids in
// the answer (return_token_ids) and a salt of the prefix cache. How many tokens that had
// is told where it was started with --enable-prompt-tokens-details.
type vllm struct{}

// served is the model that a server of OpenAI's API has.
func served(ctx context.Context, e *Engine) error {
	var models struct {
		Data []struct {
			ID      string `json:"id"`
			Context int    `json:"max_model_len"`
		} `json:"data"`
	}
	if err := e.client.Call(ctx, "GET", "/v1/models", nil, &models); err != nil {
		return err
	}
	if len(models.Data) == 0 {
		return errors.New("its /v1/models lists none")
	}
	e.Model, e.Context = models.Data[0].ID, models.Data[0].Context
	return nil
}

func (vllm) look(ctx context.Context, e *Engine) error {
	return served(ctx, e)
}

func (vllm) compare(ctx context.Context, e *Engine, text string, tokens []int32) error {
	return e.tokenizesAs(ctx, map[string]any{"model": e.Model, "prompt": text, "add_special_tokens": false}, text, tokens)
}

func (vllm) ask(e *Engine, r *request) (string, any, error) {
	if err := checkSampling(r.sampling); err != nil {
		return "", nil, err
	}
	o := r.sampling
	body := map[string]any{
		"model": e.Model, "prompt": r.prompt, "max_tokens": r.n, "stream": true, "stream_options": map[string]any{"include_usage": true},
		"return_token_ids": true, "temperature": o.Temperature, "top_k": o.TopK, "top_p": or(o.TopP, 1), "min_p": o.MinP,
		"repetition_penalty": or(o.RepeatPenalty, 1), "seed": r.seed(), "ignore_eos": r.unending,
	}
	if len(o.LogitBias) > 0 {
		body["logit_bias"] = biases(o.LogitBias)
	}
	if r.salt != "" {
		body["cache_salt"] = r.salt
	}
	return "/v1/completions", body, nil
}

// biases has the ids as JSON's keys.
func biases(of map[int32]float64) map[string]float64 {
	named := map[string]float64{}
	for id, bias := range of {
		named[strconv.Itoa(int(id))] = bias
	}
	return named
}

func (vllm) read(data []byte, seen int) (event, error) {
	if string(data) == "[DONE]" {
		return event{end: true}, nil
	}
	var reply struct {
		Choices []struct {
			Text   string   `json:"text"`
			Tokens *[]int32 `json:"token_ids"`
		} `json:"choices"`
		Usage *struct {
			Prompt  int `json:"prompt_tokens"`
			Details *struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		} `json:"usage"`
	}
	if err := parse(data, &reply); err != nil {
		return event{}, err
	}
	var ev event
	for _, c := range reply.Choices {
		if c.Tokens == nil && c.Text != "" {
			return ev, errors.New("it gives text and no token ids: a vLLM of 0.10.2 or newer is needed")
		}
		if c.Tokens != nil {
			ev.tokens = append(ev.tokens, *c.Tokens...)
		}
	}
	if u := reply.Usage; u != nil && u.Details != nil {
		ev.usage = usage{told: true, prompt: u.Prompt, cached: u.Details.Cached}
	}
	return ev, nil
}
