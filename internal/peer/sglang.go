package peer

import (
	"context"
	"fmt"
)

// sglang speaks SGLang's own /generate, whose prompts and answers are token ids. Its
// events repeat all tokens so far, or only the new ones where the server was told to. It
// draws by a seed of its own.
type sglang struct{}

func (sglang) look(ctx context.Context, e *Engine) error { return served(ctx, e) }

// compare implements dialect: SGLang has no endpoint that all versions tokenise at.
func (sglang) compare(context.Context, *Engine, string, []int32) error { return nil }

func (sglang) ask(_ *Engine, r *request) (string, any, error) {
	if err := checkSampling(r.sampling); err != nil {
		return "", nil, err
	}
	o := r.sampling
	sampling := map[string]any{
		"max_new_tokens": r.n, "temperature": o.Temperature, "top_p": or(o.TopP, 1), "min_p": o.MinP, "repetition_penalty": or(o.RepeatPenalty, 1),
		"skip_special_tokens": false, "ignore_eos": r.unending,
	}
	if o.TopK > 0 {
		sampling["top_k"] = o.TopK
	}
	if len(o.LogitBias) > 0 {
		sampling["logit_bias"] = biases(o.LogitBias)
	}
	return "/generate", map[string]any{"input_ids": r.prompt, "sampling_params": sampling, "stream": true}, nil
}

func (sglang) read(data []byte, seen int) (event, error) {
	if string(data) == "[DONE]" {
		return event{end: true}, nil
	}
	var reply struct {
		Tokens *[]int32 `json:"output_ids"`
		Text   string   `json:"text"`
		Meta   struct {
			Prompt     *int `json:"prompt_tokens"`
			Completion int  `json:"completion_tokens"`
			Cached     *int `json:"cached_tokens"`
			Finish     struct {
				Matched any `json:"matched"` // a token, or a string
			} `json:"finish_reason"`
		} `json:"meta_info"`
	}
	if err := parse(data, &reply); err != nil {
		return event{}, err
	}
	var ev event
	if reply.Tokens == nil {
		if reply.Text != "" {
			return ev, fmt.Errorf("it gives text and no token ids (output_ids): a newer SGLang is needed")
		}
		return ev, nil
	}
	ev.tokens = *reply.Tokens
	if all := reply.Meta.Completion; len(ev.tokens) == all && all >= seen { // all so far
		ev.tokens = ev.tokens[seen:]
	} else if seen+len(ev.tokens) != all {
		return ev, fmt.Errorf("it told %d tokens of %d", seen+len(ev.tokens), all)
	}
	if ended, ok := reply.Meta.Finish.Matched.(float64); ok && (len(ev.tokens) == 0 || ev.tokens[len(ev.tokens)-1] != int32(ended)) {
		ev.tokens = append(ev.tokens, int32(ended)) // some versions leave it out
	}
	if p, c := reply.Meta.Prompt, reply.Meta.Cached; p != nil && c != nil {
		ev.usage = usage{told: true, prompt: *p, cached: *c}
	}
	return ev, nil
}
