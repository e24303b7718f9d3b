package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/peer"
)

// Time limits of a peer: to say what it is, and to answer a prompt, which may be
// thousands of tokens on a slow machine.
const (
	probeTimeout    = 10 * time.Second
	completeTimeout = 10 * time.Minute
)

// Peer is another server that continues prompts of token ids: llama.cpp's, or one
// with OpenAI's completions, such as vLLM's. Both reuse the KV of the beginning
// that a prompt shares with the one before.
type Peer struct {
	Name   string // "llama.cpp" or "openai"
	base   string
	client *peer.Client
	model  string // openai only
}

// Dial asks the server at the address what it is.
func Dial(ctx context.Context, address string) (*Peer, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of a server such as http://localhost:8080", address)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p := &Peer{Name: "llama.cpp", base: strings.TrimRight(address, "/")}
	p.client = peer.NewClient(p.base, "")
	var props struct {
		Slots *int `json:"total_slots"`
	}
	propsErr := p.client.Call(ctx, "GET", "/props", nil, &props)
	if propsErr == nil && props.Slots != nil {
		return p, nil
	}
	var models struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	p.Name, p.base = "openai", strings.TrimSuffix(p.base, "/v1")
	p.client = peer.NewClient(p.base, "")
	err = p.client.Call(ctx, "GET", "/v1/models", nil, &models)
	if err == nil && len(models.Data) > 0 {
		p.model = models.Data[0].ID
		return p, nil
	}
	return nil, fmt.Errorf("%s is neither llama.cpp's server (%w) nor one with OpenAI's API (%w)", address,
		cmp.Or(propsErr, errors.New("its /props names no slots")), cmp.Or(err, errors.New("its /v1/models lists none")))
}

// CheckTokenizer compares the server's tokens of a text with ours: prompts are
// sent as ids, which mean something else to another model. Only llama.cpp's server
// can be asked.
func (p *Peer) CheckTokenizer(ctx context.Context, text string, tokens []int32) error {
	if p.Name != "llama.cpp" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var reply struct {
		Tokens []int32 `json:"tokens"`
	}
	if err := p.client.Call(ctx, "POST", "/tokenize", map[string]any{"content": text}, &reply); err != nil {
		return err
	}
	if !slices.Equal(reply.Tokens, tokens) {
		return fmt.Errorf("%s runs another model: its tokenizer gives %v for %q and ours %v", p.base, reply.Tokens, text, tokens)
	}
	return nil
}

// unknown stands for a number of tokens that the server does not tell.
const unknown = -1

// complete samples n tokens greedily behind the prompt and returns how many
// tokens of the prompt were computed.
func (p *Peer) complete(ctx context.Context, prompt []int32, n int) (prefilled int, err error) {
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	var sampled int
	if p.Name == "llama.cpp" {
		var reply struct {
			Sampled int `json:"tokens_predicted"`
			Timings struct {
				Prompt int `json:"prompt_n"`
			} `json:"timings"`
		}
		err = p.client.Call(ctx, "POST", "/completion", map[string]any{
			"prompt": prompt, "n_predict": n, "temperature": 0, "ignore_eos": true, "cache_prompt": true,
		}, &reply)
		sampled, prefilled = reply.Sampled, reply.Timings.Prompt
	} else {
		var reply struct {
			Usage struct {
				Prompt  int `json:"prompt_tokens"`
				Sampled int `json:"completion_tokens"`
				Details *struct {
					Cached int `json:"cached_tokens"`
				} `json:"prompt_tokens_details"`
			} `json:"usage"`
		}
		// ignore_eos is an extension of vLLM, SGLang and llama.cpp.
		err = p.client.Call(ctx, "POST", "/v1/completions", map[string]any{
			"model": p.model, "prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": true,
		}, &reply)
		sampled, prefilled = reply.Usage.Sampled, unknown
		if d := reply.Usage.Details; d != nil {
			prefilled = reply.Usage.Prompt - d.Cached
		}
	}
	if err == nil && sampled != n {
		err = fmt.Errorf("%s sampled %d tokens instead of %d", p.base, sampled, n)
	}
	return prefilled, err
}
