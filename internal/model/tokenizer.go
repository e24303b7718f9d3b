package model

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// LoadTokenizer opens only the tokenizer of the GGUF file or Hugging Face directory at path.
func LoadTokenizer(path string) (*tokenizer.Tokenizer, error) {
	if isDirectory(path) {
		return loadTokenizer(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bindTokenizer(f)
}

func bindTokenizer(f source) (*tokenizer.Tokenizer, error) {
	if d, ok := f.(*directory); ok {
		return loadTokenizer(d.path)
	}
	r := reader{f: f}
	c := tokenizer.Config{
		Model:        r.string("tokenizer.ggml.model", true),
		Pre:          r.string("tokenizer.ggml.pre", false),
		Tokens:       r.strings("tokenizer.ggml.tokens"),
		BOS:          r.id("tokenizer.ggml.bos_token_id"),
		EOS:          r.id("tokenizer.ggml.eos_token_id"),
		Unknown:      r.id("tokenizer.ggml.unknown_token_id"),
		Padding:      r.id("tokenizer.ggml.padding_token_id"),
		ChatTemplate: r.string("tokenizer.chat_template", false),
	}
	if r.has("tokenizer.ggml.merges") {
		c.Merges = r.strings("tokenizer.ggml.merges")
	}
	if c.Model == "llama" {
		c.Scores = r.floats("tokenizer.ggml.scores")
		c.ByteFallback, c.FuseUnknown = true, true
		prefix := r.flag("tokenizer.ggml.add_space_prefix")
		c.Normalize = tokenizer.BlankSteps(prefix == nil || *prefix)
	}
	if r.has("tokenizer.ggml.token_type") {
		c.Types = r.int32s("tokenizer.ggml.token_type")
	}
	for _, key := range []string{"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"} {
		c.Ends = append(c.Ends, r.id(key))
	}
	c.AddBOS = r.flag("tokenizer.ggml.add_bos_token")
	if r.err != nil {
		return nil, r.err
	}
	if architecture := r.string("general.architecture", false); architecture == "phi3" && c.Model == "llama" {
		c.Added = phi3Added(c)
	}
	t, err := tokenizer.New(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	return t, nil
}

// phi3Added says of the control tokens of Phi 3's SentencePiece vocabulary that they take the blanks behind them, as its
// tokenizer.json does and GGUF has no place to say.
func phi3Added(c tokenizer.Config) map[int32]tokenizer.Added {
	added := map[int32]tokenizer.Added{}
	for id, token := range c.Tokens {
		control := id < len(c.Types) && c.Types[id] == tokenizer.TypeControl
		if control && token != "<unk>" && token != "<s>" && token != "<|endoftext|>" || token == "</s>" {
			added[int32(id)] = tokenizer.Added{RStrip: true}
		}
	}
	return added
}
