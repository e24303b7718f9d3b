package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

func TestLead(t *testing.T) {
	for _, c := range []struct {
		pre  string
		add  *bool
		bos  int32
		want []int32
	}{
		{"smollm", nil, 1, nil}, {"smollm", new(true), 1, []int32{1}}, {"smollm", new(true), -1, nil},
		{"llama-bpe", nil, 1, []int32{1}}, {"llama-bpe", new(false), 1, nil}, {"gpt-2", nil, 1, nil}, {"qwen2", nil, 1, nil},
	} {
		config := smallConfig(c.pre)
		config.AddBOS, config.BOS = c.add, c.bos
		tk := mustNew(t, config)
		if got := tk.Lead(); !slices.Equal(got, c.want) {
			t.Errorf("%s, BOS %d: %v, want %v", c.pre, c.bos, got, c.want)
		}
		if got := tk.WithLead(tk.WithLead([]int32{7})); !slices.Equal(got, append(slices.Clone(c.want), 7)) {
			t.Errorf("%s, BOS %d: twice in front of 7 gives %v", c.pre, c.bos, got)
		}
		if got := tk.Encode("a"); len(got) != 1 {
			t.Errorf("%s: Encode gives %v: it never adds BOS", c.pre, got)
		}
	}
}

// TestEnds: ends come from the file's keys, from names, and from what the template writes behind an answer.
func TestEnds(t *testing.T) {
	const plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
	for _, c := range []struct {
		name, template string
		change         func(*Config)
		want           []string
	}{
		{"the file's EOS and two names", "", func(c *Config) {}, []string{"<|endoftext|>", "<|im_end|>"}},
		{"further ids, some outside", "", func(c *Config) { c.Ends = []int32{3, -1, 1 << 20} }, []string{"<|endoftext|>", "<|im_end|>", "<|im_end|>!"}},
		{"no EOS", "", func(c *Config) { c.EOS = -1 }, []string{"<|endoftext|>", "<|im_end|>"}},
		{"the template's", strings.Replace(plain, "\n", " <|stop|>\n", 1), func(c *Config) { c.Tokens[3] = "<|stop|>" }, []string{"<|endoftext|>", "<|im_end|>", "<|stop|>"}},
		{"a template without one", plain, func(c *Config) { c.Tokens[3] = "<|stop|>" }, []string{"<|endoftext|>", "<|im_end|>"}},
		{"a template that fails", "{{ raise_exception('no') }}", func(c *Config) {}, []string{"<|endoftext|>", "<|im_end|>"}},
		{"a name that was left ordinary", "", func(c *Config) { c.Types[1], c.Tokens[1] = TypeNormal, "<end_of_turn>" }, []string{"<|endoftext|>", "<end_of_turn>", "<|im_end|>"}},
		{"no types at all", "", func(c *Config) { c.Types, c.EOS = nil, -1 }, []string{"<|endoftext|>", "<|im_end|>"}},
		{"a word of markup", "", func(c *Config) { c.Tokens[259], c.Merges = "</s>", nil }, []string{"<|endoftext|>", "<|im_end|>"}},
	} {
		config := smallConfig("smollm")
		config.EOS, config.ChatTemplate = 2, c.template
		c.change(&config)
		tk := mustNew(t, config)
		var got []string
		for _, id := range tk.Ends() {
			got = append(got, string(tk.Bytes(id)))
			if !tk.IsControl(id) || tk.Decode([]int32{id}) != "" {
				t.Errorf("%s: %q would be printed", c.name, got[len(got)-1])
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestChatLead: a conversation begins with BOS once, whoever writes it.
func TestChatLead(t *testing.T) {
	for _, template := range []string{"{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"} {
		config := smallConfig("smollm")
		config.AddBOS, config.ChatTemplate = new(true), template
		tk := mustNew(t, config)
		if ids, err := tk.Chat([]Message{{"user", "x"}}, true); err != nil || !slices.Equal(ids, append([]int32{config.BOS}, tk.Encode("x")...)) {
			t.Errorf("%s: %v, %v", template, ids, err)
		}
	}
}
