package modeltest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// EOS is the control token of the tokenizer that WriteGGUF gives a model.
const EOS = 256

// WriteGGUF writes a model of at least 257 tokens to a file in a directory of the
// test's and returns its path. Token b below 256 is the byte b, 256 ends a text, and
// the others are words w257 … that no text becomes. Each of changes sets more keys.
func WriteGGUF(t testing.TB, w *model.Weights, changes ...func(*gguf.Writer)) string {
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
		{c.Family + ".block_count", uint32(c.Layers)},
		{c.Family + ".context_length", uint32(c.Context)},
		{c.Family + ".embedding_length", uint32(c.Hidden)},
		{c.Family + ".feed_forward_length", uint32(c.FF)},
		{c.Family + ".attention.head_count", uint32(c.Heads)},
		{c.Family + ".attention.head_count_kv", uint32(c.KVHeads)},
		{c.Family + ".attention.layer_norm_rms_epsilon", c.NormEps},
		{c.Family + ".rope.freq_base", float32(c.RopeBase)},
		{c.Family + ".vocab_size", uint32(c.Vocab)},
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
	for _, change := range changes {
		change(&out)
	}
	for s, m := range w.All() {
		if s.Role == model.Head && w.Tied() {
			continue
		}
		stored := *m
		stored.Name = s.GGUF
		out.Add(stored)
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
