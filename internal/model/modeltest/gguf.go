package modeltest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// EOS is the control token of the tokenizer that WriteGGUF gives a model.
const EOS = 256

// WriteGGUF writes a model of at least 257 tokens to a file in a directory of the
// test's and returns its path. Token b below 256 is the byte b, 256 ends a text, and
// the others are words w257 … that no text becomes.
func WriteGGUF(t testing.TB, w *model.Weights) string {
	t.Helper()
	c := w.Config
	var out gguf.Writer
	for _, key := range []struct {
		name  string
		value any
	}{
		{"general.architecture", c.Family},
		{"general.name", c.Name},
		{"general.file_type", uint32(0)},
		{"llama.block_count", uint32(c.Layers)},
		{"llama.context_length", uint32(c.Context)},
		{"llama.embedding_length", uint32(c.Hidden)},
		{"llama.feed_forward_length", uint32(c.FF)},
		{"llama.attention.head_count", uint32(c.Heads)},
		{"llama.attention.head_count_kv", uint32(c.KVHeads)},
		{"llama.attention.layer_norm_rms_epsilon", c.NormEps},
		{"llama.rope.freq_base", float32(c.RopeBase)},
		{"llama.vocab_size", uint32(c.Vocab)},
		{"tokenizer.ggml.model", "gpt2"},
		{"tokenizer.ggml.pre", "gpt-2"},
		{"tokenizer.ggml.tokens", vocabulary(c.Vocab)},
		{"tokenizer.ggml.scores", make([]float32, c.Vocab)},
		{"tokenizer.ggml.merges", []string{}},
		{"tokenizer.ggml.eos_token_id", uint32(EOS)},
	} {
		out.Set(key.name, key.value)
	}
	kinds := slices.Repeat([]int32{tokenizer.TypeNormal}, c.Vocab)
	kinds[EOS] = tokenizer.TypeControl
	out.Set("tokenizer.ggml.token_type", kinds)
	add := func(m tensor.Matrix, name string) {
		m.Name = name + ".weight"
		out.Add(m)
	}
	add(w.Embedding, "token_embd")
	add(w.OutputNorm, "output_norm")
	if w.Head.Name != w.Embedding.Name {
		add(w.Head, "output")
	}
	for i, l := range w.Layers {
		block := fmt.Sprintf("blk.%d.", i)
		add(l.AttnNorm, block+"attn_norm")
		add(l.Q, block+"attn_q")
		add(l.K, block+"attn_k")
		add(l.V, block+"attn_v")
		add(l.O, block+"attn_output")
		add(l.FFNorm, block+"ffn_norm")
		add(l.Gate, block+"ffn_gate")
		add(l.Up, block+"ffn_up")
		add(l.Down, block+"ffn_down")
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := out.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// vocabulary returns n tokens in the alphabet of byte-level BPE, in which a byte that
// is no printable character of Latin-1 is one from U+0100 on.
func vocabulary(n int) []string {
	var tokens []string
	next := rune(0x100)
	for b := range rune(256) {
		if strings.ContainsRune(" \u007f\u00a0\u00ad", b) || b < ' ' || b > '~' && b < '¡' {
			tokens = append(tokens, string(next))
			next++
		} else {
			tokens = append(tokens, string(b))
		}
	}
	tokens = append(tokens, "<end>")
	for i := len(tokens); i < n; i++ {
		tokens = append(tokens, fmt.Sprintf("w%d", i))
	}
	return tokens
}
