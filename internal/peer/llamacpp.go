package peer

import (
	"context"
)

// llamacpp speaks to llama.cpp's server (tools/server/README.md there). Its cache is that
// of a slot's last prompt, so a text goes back to the slot that it was in.
type llamacpp struct{}

func (llamacpp) look(ctx context.Context, e *Engine) error {
	var props struct {
		Slots    int `json:"total_slots"`
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if err := e.client.Call(ctx, "GET", "/props", nil, &props); err != nil {
		return err
	}
	var models struct {
		Data []struct {
			ID   string `json:"id"`
			Meta struct {
				Vocab int `json:"n_vocab"`
			} `json:"meta"`
		} `json:"data"`
	}
	if err := e.client.Call(ctx, "GET", "/v1/models", nil, &models); err != nil {
		return err
	}
	e.Context, e.Slots = props.Settings.Context, props.Slots
	if len(models.Data) > 0 {
		e.Model, e.Vocab = models.Data[0].ID, models.Data[0].Meta.Vocab
	}
	return nil
}

func (llamacpp) compare(ctx context.Context, e *Engine, text string, tokens []int32) error {
	return e.tokenizesAs(ctx, map[string]any{"content": text, "add_special": false}, text, tokens)
}

func (llamacpp) ask(_ *Engine, r *request) (string, any, error) {
	if err := checkSampling(r.sampling); err != nil {
		return "", nil, err
	}
	o := r.sampling
	body := map[string]any{
		"prompt": r.prompt, "n_predict": r.n, "stream": !r.whole, "return_tokens": true, "timings_per_token": true, "cache_prompt": true,
		"samplers":    []string{"penalties", "top_k", "top_p", "min_p", "temperature"},
		"temperature": o.Temperature, "top_k": o.TopK, "top_p": or(o.TopP, 1), "min_p": o.MinP,
		"repeat_penalty": or(o.RepeatPenalty, 1), "repeat_last_n": o.RepeatLast, "seed": r.seed(), "ignore_eos": r.unending,
	}
	if len(o.LogitBias) > 0 {
		bias := [][2]any{}
		for id, b := range o.LogitBias {
			bias = append(bias, [2]any{id, b})
		}
		body["logit_bias"] = bias
	}
	if r.slot != nil {
		body["id_slot"] = *r.slot
	}
	return "/completion", body, nil
}

func (llamacpp) read(data []byte, seen int) (event, error) {
	var reply struct {
		Tokens    []int32 `json:"tokens"`
		Stop      bool    `json:"stop"`
		Predicted int     `json:"tokens_predicted"`
		Evaluated int     `json:"tokens_evaluated"`
		Truncated bool    `json:"truncated"`
		Slot      *int    `json:"id_slot"`
		Timings   *struct {
			Cached int `json:"cache_n"`
			Prompt int `json:"prompt_n"`
		} `json:"timings"`
	}
	if err := parse(data, &reply); err != nil {
		return event{}, err
	}
	ev := event{tokens: reply.Tokens, end: reply.Stop, slot: reply.Slot}
	// A stream leaves out tokens that end within a character.
	ev.missing = reply.Predicted > seen+len(reply.Tokens)
	if t := reply.Timings; t != nil {
		ev.usage = usage{told: true, prompt: t.Cached + t.Prompt, cached: t.Cached}
	}
	return ev, nil
}

// or returns v, or else another value where it is 0.
func or(v, other float64) float64 {
	if v == 0 {
		return other
	}
	return v
}
