package tokenizer

import (
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// skip skips a test that needs something which is not there, or fails it where FLASHBACK_REQUIRE=1 says that all must be.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("FLASHBACK_REQUIRE") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// modelTokenizer is the tokenizer of SmolLM2-135M-Instruct, read from the model file.
func modelTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	c, err := readConfig(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	return mustNew(t, c)
}

func readConfig(path string) (c Config, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	text := func(key string) (s string) {
		if err == nil {
			s, err = f.String(key)
		}
		return s
	}
	list := func(key string) (s []string) {
		if err == nil {
			s, err = f.Strings(key)
		}
		return s
	}
	id := func(key string) (n uint64) {
		if err == nil {
			n, err = f.Uint(key)
		}
		return n
	}
	c = Config{
		Model:        text("tokenizer.ggml.model"),
		Pre:          text("tokenizer.ggml.pre"),
		Tokens:       list("tokenizer.ggml.tokens"),
		Merges:       list("tokenizer.ggml.merges"),
		BOS:          int32(id("tokenizer.ggml.bos_token_id")),
		EOS:          int32(id("tokenizer.ggml.eos_token_id")),
		Unknown:      int32(id("tokenizer.ggml.unknown_token_id")),
		Padding:      int32(id("tokenizer.ggml.padding_token_id")),
		ChatTemplate: text("tokenizer.chat_template"),
	}
	if err != nil {
		return c, err
	}
	types, err := f.Ints("tokenizer.ggml.token_type")
	for _, kind := range types {
		c.Types = append(c.Types, int32(kind))
	}
	return c, err
}
