package flashback

import (
	"context"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Tokens returns the ids of a text. special reads the control tokens that it names, such
// as <|im_start|>; otherwise they are plain text.
func (e *Engine) Tokens(text string, special bool) []int32 {
	if special {
		return e.tokenizer.EncodeSpecial(text)
	}
	return e.tokenizer.Encode(text)
}

// Text returns the text of tokens, which may begin or end inside a character. Control
// tokens are left out, or named where special asks for it.
func (e *Engine) Text(tokens []int32, special bool) string {
	if !special {
		return e.tokenizer.Decode(tokens)
	}
	var text []byte
	for _, id := range tokens {
		text = append(text, e.tokenizer.Bytes(id)...)
	}
	return string(text)
}

// ChatTokens returns the ids of a conversation in the model's chat template, up to where
// the answer to it begins. The error says what the template refuses.
func (e *Engine) ChatTokens(messages []Message) ([]int32, error) {
	return e.tokenizer.Chat(messages, true)
}

// Score returns how probable each token of the request's prompt is behind those before it,
// without passages, and the r.Likeliest likeliest in its place; nothing can be said of the
// first. The row of a token is only valid during the call of it.
func (e *Engine) Score(ctx context.Context, r Request, row func(token Likely, likeliest []Likely)) error {
	o, err := e.loop(r, false)
	if err != nil {
		return err
	}
	tokens := e.prompt(r, o.Sink)
	if o.Sink >= 0 {
		tokens = append([]int32{o.Sink}, tokens...)
	}
	if len(tokens) < 2 {
		return nil
	}
	seq := e.backend.newSequence()
	defer seq.Close()
	if err := seq.apply(r); err != nil {
		return err
	}
	if err := seq.Append(tokens[0]); err != nil {
		return err
	}
	next := 1
	return seq.Logits(ctx, placement.None, nil, tokens[1:], func(logits []float32) {
		token, likeliest := sample.Weigh(logits, tokens[next], r.Likeliest)
		row(token, likeliest)
		next++
	})
}

// KVUsage says how full the memory for keys and values is, in pages of PageTokens tokens.
type KVUsage = kvcache.Usage

// PageTokens is how many tokens' keys and values a page holds.
const PageTokens = kvcache.PageTokens

// KV returns how full the memory for keys and values is, of what is kept for reuse too.
func (e *Engine) KV() KVUsage { return e.backend.kv() }

// DropKept gives up what is kept for reuse: all that then is in use is of texts and
// conversations that have not ended.
func (e *Engine) DropKept() { e.backend.dropKept() }
