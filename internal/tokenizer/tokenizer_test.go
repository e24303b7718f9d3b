package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
)

// smallConfig is a vocabulary of all bytes and a few merges, made by hand.
func smallConfig(pre string) Config {
	c := Config{Model: "gpt2", Pre: pre, BOS: 1, EOS: 2, Unknown: -1, Padding: -1}
	add := func(kind int32, tokens ...string) {
		for _, token := range tokens {
			c.Tokens = append(c.Tokens, token)
			c.Types = append(c.Types, kind)
		}
	}
	add(TypeControl, "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>!")
	for _, r := range byteRune {
		add(TypeNormal, string(r))
	}
	for _, merge := range []string{"a a", "Ġ t", "h e", "Ġt he", "aa aa", "Ġ Ġ", "i n", "in g", "ĠĠ ĠĠ", "Ċ Ċ", "Ã ©", "aa a"} {
		c.Merges = append(c.Merges, merge)
		add(TypeNormal, strings.ReplaceAll(merge, " ", ""))
	}
	add(TypeUserDefined, "<tool>", "的 字")
	return c
}

func TestAccessors(t *testing.T) {
	tk := mustNew(t, smallConfig("smollm"))
	for _, c := range []struct {
		name, bytes string
		control     bool
	}{
		{"<|im_start|>", "<|im_start|>", true},
		{"Ġthe", " the", false},
		{"Ċ", "\n", false},
		{"ÿ", "\xff", false},
		{"的 字", "的 字", false},
	} {
		id, ok := tk.ID(c.name)
		if !ok || string(tk.Bytes(id)) != c.bytes || tk.IsControl(id) != c.control {
			t.Errorf("%q: id %d %v, bytes %q, control %v", c.name, id, ok, tk.Bytes(id), tk.IsControl(id))
		}
	}
	if id, ok := tk.ID("absent"); ok {
		t.Errorf("absent token has id %d", id)
	}
	for _, id := range []int32{-1, int32(tk.Size()), 1 << 30, -1 << 31} {
		if tk.Bytes(id) != nil || tk.IsControl(id) || tk.Decode([]int32{id}) != "" {
			t.Errorf("id %d is outside the vocabulary but has bytes", id)
		}
	}
	if tk.BOS() != 1 || tk.EOS() != 2 || tk.Size() != len(smallConfig("smollm").Tokens) {
		t.Errorf("BOS %d, EOS %d, size %d", tk.BOS(), tk.EOS(), tk.Size())
	}
}

func TestSpecialTokens(t *testing.T) {
	tk := mustNew(t, smallConfig("smollm"))
	const text = "<|im_start|>the<|im_end|>!<|im_end|> <tool>"
	names := func(ids []int32) (names []string) {
		for _, id := range ids {
			names = append(names, string(tk.Bytes(id)))
		}
		return names
	}
	want := []string{"<|im_start|>", "t", "he", "<|im_end|>!", "<|im_end|>", " ", "<tool>"}
	if got := names(tk.EncodeSpecial(text)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ids := tk.Encode(text)
	if slices.ContainsFunc(ids, tk.IsControl) {
		t.Errorf("control tokens in %q", names(ids))
	}
	if got := tk.Decode(ids); got != text {
		t.Errorf("got %q", got)
	}
	if tool, _ := tk.ID("<tool>"); ids[len(ids)-1] != tool {
		t.Errorf("no <tool> in %q", names(ids))
	}
}

// TestNewErrors gives New what a hostile or broken file may hold.
func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"model", func(c *Config) { c.Model = "bert" }, `model "bert"`},
		{"pre-tokenizer", func(c *Config) { c.Pre = "deepseek-v3" }, `"deepseek-v3"`},
		{"no tokens", func(c *Config) { c.Tokens = nil }, "empty"},
		{"too many tokens", func(c *Config) { c.Tokens = make([]string, maxTokens+1) }, "at most"},
		{"types", func(c *Config) { c.Types = c.Types[1:] }, "token types"},
		{"too many merges", func(c *Config) { c.Merges = make([]string, maxMerges+1) }, "at most"},
		{"no bytes", func(c *Config) { c.Tokens, c.Types, c.Merges = []string{"ab", "cd", "ef"}, nil, nil }, "byte-level"},
	} {
		config := smallConfig("smollm")
		c.change(&config)
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestOddTables gives New what files in use hold, against what llama.cpp makes of it.
func TestOddTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		text   string
		want   []string // stored names of the ids
	}{
		{"undefined type", func(c *Config) { c.Types[4+'h'-'!'] = 0 }, "h", []string{"h"}},
		{"unknown type", func(c *Config) { c.Types[4+'h'-'!'] = 77 }, "h", []string{"h"}},
		{"empty name", func(c *Config) { c.Tokens = append(c.Tokens, ""); c.Types = append(c.Types, TypeNormal) }, "h", []string{"h"}},
		{"empty control token", func(c *Config) { c.Tokens[3] = "" }, "h<", []string{"h", "<"}},
		{"long name", func(c *Config) { c.Tokens[3] = strings.Repeat("ab", 1<<16) }, "ab", []string{"a", "b"}},
		{"merge that is no pair", func(c *Config) { c.Merges[0], c.Merges[1], c.Merges[2] = "aa", " a", "h e a" }, "aahe", []string{"a", "a", "h", "e"}},
		{"merge of absent tokens", func(c *Config) { c.Merges[3] = "xyz a" }, "xyza", []string{"x", "y", "z", "a"}},
		{"merge to an absent token", func(c *Config) { c.Merges[3] = "x y" }, "x xy aa", []string{"x", "Ġ", "x", "y", "Ġ", "aa"}},
		{"merge over an absent token", func(c *Config) {
			c.Merges = append(c.Merges, "x y", "xy z")
			c.Tokens, c.Types = append(c.Tokens, "xyz"), append(c.Types, TypeNormal)
		}, "xyz xy", []string{"xyz", "Ġ", "x", "y"}},
		{"merge of a byte that is absent", func(c *Config) {
			c.Merges = append(c.Merges, "x y")
			c.Tokens[slices.Index(c.Tokens, "x")] = "xy"
		}, "xyx", []string{"xy"}},
		{"merge to a control token", func(c *Config) { c.Tokens[0], c.Merges[3] = "xy", "x y" }, "xy", []string{"x", "y"}},
		{"merge twice", func(c *Config) { c.Merges = append(c.Merges, "a a") }, "aaa", []string{"aaa"}},
	} {
		config := smallConfig("smollm")
		c.change(&config)
		tk, err := New(config)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, id := range tk.Encode(c.text) {
			got = append(got, config.Tokens[id])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.text, got, c.want)
		}
		if wrong := c.name == "merge that is no pair"; wrong != (len(tk.Warnings()) == 1) {
			t.Errorf("%s: warnings %q", c.name, tk.Warnings())
		}
	}
}

// TestEqualNames: the last of equal names is found, a control token before a word; all of them decode, and the files for
// Hugging Face name each once.
func TestEqualNames(t *testing.T) {
	c := smallConfig("smollm")
	twice := int32(len(c.Tokens))
	c.Tokens, c.Types = append(c.Tokens, "Ġthe", "<|im_start|>", ""), append(c.Types, TypeNormal, TypeNormal, TypeNormal)
	tk := mustNew(t, c)
	if got := tk.Encode(" the"); !slices.Equal(got, []int32{twice}) {
		t.Errorf(" the is %v, want %d", got, twice)
	}
	if id, _ := tk.ID("<|im_start|>"); id != 1 || !slices.Equal(tk.EncodeSpecial("<|im_start|>"), []int32{1}) {
		t.Errorf("<|im_start|> is %d", id)
	}
	if first := int32(slices.Index(c.Tokens, "Ġthe")); tk.Decode([]int32{first, twice, twice + 1, twice + 2}) != " the the<|im_start|>" {
		t.Errorf("decoded as %q", tk.Decode([]int32{first, twice, twice + 1, twice + 2}))
	}
	files, err := tk.HuggingFace()
	if err != nil {
		t.Fatal(err)
	}
	vocab := files["tokenizer.json"].(map[string]any)["model"].(map[string]any)["vocab"].(map[string]int)
	if len(vocab) != tk.Size() {
		t.Errorf("%d names of %d tokens", len(vocab), tk.Size())
	}
}

// TestIDsOutside: a special token that the vocabulary lacks is none, and a warning says so.
func TestIDsOutside(t *testing.T) {
	c := smallConfig("smollm")
	c.BOS, c.EOS, c.Unknown, c.Padding = int32(len(c.Tokens)), -2, 1<<31-1, -1
	tk := mustNew(t, c)
	if tk.BOS() != -1 || tk.EOS() != -1 {
		t.Errorf("BOS %d, EOS %d", tk.BOS(), tk.EOS())
	}
	got := strings.Join(tk.Warnings(), "; ")
	if len(tk.Warnings()) != 3 || !strings.Contains(got, "bos token id 274 is outside") || !strings.Contains(got, "unknown") {
		t.Errorf("warnings %q", got)
	}
}

func TestDigest(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*Config){
		"same":   func(c *Config) {},
		"pre":    func(c *Config) { c.Pre = "gpt-2" },
		"tokens": func(c *Config) { c.Tokens[0] = "<|end|>" },
		"types":  func(c *Config) { c.Types[1] = TypeUserDefined },
		"merges": func(c *Config) { c.Merges = c.Merges[:len(c.Merges)-1] },
		"order":  func(c *Config) { c.Merges[0], c.Merges[1] = c.Merges[1], c.Merges[0] },
	} {
		c := smallConfig("smollm")
		change(&c)
		d := mustNew(t, c).Digest()
		if other, ok := seen[d]; ok || len(d) != 16 {
			t.Errorf("%s and %s have the digest %q", name, other, d)
		}
		seen[d] = name
	}
	c := smallConfig("smollm")
	c.ChatTemplate, c.BOS = "x", -1 // what does not change ids
	if d := mustNew(t, c).Digest(); seen[d] != "same" {
		t.Errorf("the digest changes with the chat template")
	}
}

// TestLongMerges compares the two ways to merge, which must agree whatever the length.
func TestLongMerges(t *testing.T) {
	tk := mustNew(t, smallConfig("smollm"))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		ids := make([]int32, 1+rng.IntN(maxShort))
		for i := range ids {
			ids[i] = tk.model.(*byteBPE).bytes["aah te ing\n"[rng.IntN(11)]]
		}
		short, long := slices.Clone(ids), slices.Clone(ids)
		short, long = short[:tk.model.(*byteBPE).merges.mergeShort(short)], long[:tk.model.(*byteBPE).merges.mergeLong(long)]
		if !slices.Equal(short, long) {
			t.Fatalf("%q: %v and %v", tk.Decode(ids), short, long)
		}
	}
}

// TestPieces compares the scanners with the regular expressions that they stand for.
func TestPieces(t *testing.T) {
	const (
		gpt2  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
		llama = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	)
	atoms := strings.Split("a|Z|é|的|1|23|½|٣|'s|'LL|'|''|.|-|!?| |  |\n|\r\n|\t|\u00a0|\u3000|\u0085|😀|e\u0301|\x00", "|")
	rng := rand.New(rand.NewPCG(3, 4))
	for name, expression := range map[string]string{
		"gpt-2": gpt2, "llama-bpe": llama, "qwen2": strings.Replace(llama, `{1,3}`, "", 1),
	} {
		pre, err := newPreTokenizer(name)
		if err != nil {
			t.Fatal(err)
		}
		re := regexp2.MustCompile(expression, regexp2.None)
		for range 3000 {
			var b strings.Builder
			for range 1 + rng.IntN(12) {
				b.WriteString(atoms[rng.IntN(len(atoms))])
			}
			var want []string
			for m, _ := re.FindStringMatch(b.String()); m != nil; m, _ = re.FindNextMatch(m) {
				want = append(want, m.String())
			}
			if got := slices.Collect(pre.pieces(b.String())); !slices.Equal(got, want) {
				t.Fatalf("%s: %q\ngot  %q\nwant %q", name, b.String(), got, want)
			}
		}
	}
}

// TestLongRuns encodes text without a place to cut: a quadratic step anywhere would take minutes.
func TestLongRuns(t *testing.T) {
	check := func(tk *Tokenizer, unit string, size int) {
		t.Helper()
		text := strings.Repeat(unit, size/len(unit))
		start := time.Now()
		got := tk.Decode(tk.EncodeSpecial(text))
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%d bytes of %q took %v", size, unit, took)
		}
		if got != text {
			t.Errorf("%d bytes of %q come back as %d", size, unit, len(got))
		}
	}
	for _, pre := range []string{"smollm", "gpt-2", "llama-bpe", "qwen2"} {
		tk := mustNew(t, smallConfig(pre))
		for _, unit := range []string{" ", "\n", "'", "1", ".", "的", "\xff", " \n", "a1", "'s", "<", "<|im_end|"} {
			check(tk, unit, 1<<17)
		}
	}
	tk := mustNew(t, smallConfig("smollm"))
	check(tk, "a", 1<<20)
	check(tk, " ", 1<<20)
}

// TestConcurrent encodes on several goroutines that share the cache.
func TestConcurrent(t *testing.T) {
	var f linesFixture
	readFixture(t, "lines.json", &f)
	tk := mustNew(t, f.small("smollm"))
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range f.Lines {
				line := f.Lines[(i+worker*50)%len(f.Lines)]
				if !slices.Equal(tk.Encode(line.Text+string(line.Bytes)), line.SmolLM) {
					t.Errorf("%q differs", line.Text)
				}
			}
		})
	}
	wait.Wait()
}

func FuzzRoundTrip(f *testing.F) {
	var fixture linesFixture
	readFixture(f, "lines.json", &fixture)
	for _, line := range fixture.Lines[:40] {
		f.Add(line.Text)
	}
	f.Add("\xff \x80a1\xc0")
	var tokenizers []*Tokenizer
	for _, pre := range []string{"smollm", "gpt-2", "llama-bpe"} { // qwen2 changes text to normal form C
		tokenizers = append(tokenizers, mustNew(f, smallConfig(pre)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tk := range tokenizers {
			ids := tk.Encode(text)
			if got := tk.Decode(ids); got != text {
				t.Errorf("%q comes back as %q", text, got)
			}
			if slices.ContainsFunc(ids, tk.IsControl) {
				t.Errorf("%q gives a control token", text)
			}
			if got := tk.Decode(tk.EncodeSpecial(text)); got != text {
				t.Errorf("with special tokens, %q comes back as %q", text, got)
			}
		}
	})
}

// FuzzNew builds tokenizers from vocabularies and merges that are lines of text.
func FuzzNew(f *testing.F) {
	c := smallConfig("smollm")
	f.Add(strings.Join(c.Tokens, "\n"), strings.Join(c.Merges, "\n"), []byte{3, 3, 3, 3}, "the <tool>", "{{ messages }}")
	f.Add("a\nb\nab\n<x>", "a b", []byte{1, 1, 1, 3}, "abab<x>", "{% for m in messages %}<x>{{ m.content }}{% endfor %}")
	f.Add("a\nb\nab", "a b", []byte{1, 1, 3}, "ab", "")
	f.Fuzz(func(t *testing.T, tokens, merges string, types []byte, text, template string) {
		for _, pre := range []string{"smollm", "llama-bpe", "qwen2"} {
			c := Config{Model: "gpt2", Pre: pre, Tokens: strings.Split(tokens, "\n"), BOS: -1, EOS: -1, Unknown: -1, Padding: -1, ChatTemplate: template}
			if merges != "" {
				c.Merges = strings.Split(merges, "\n")
			}
			c.Types = make([]int32, len(c.Tokens))
			for i := range c.Types {
				c.Types[i] = TypeNormal
				if i < len(types) {
					c.Types[i] = int32(types[i])
				}
			}
			tk, err := New(c)
			if err != nil {
				return
			}
			if slices.ContainsFunc(tk.Encode(text), tk.IsControl) {
				t.Errorf("%q gives a control token", text)
			}
			tk.Chat([]Message{{"user", text}}, true)
		}
	})
}

// BenchmarkEncode encodes English text of a set, on one goroutine.
func BenchmarkEncode(b *testing.B) {
	var f linesFixture
	readFixture(b, "lines.json", &f)
	var text strings.Builder
	for _, line := range f.Lines {
		text.WriteString(line.Text)
		text.WriteByte('\n')
	}
	tk := mustNew(b, f.small("smollm"))
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		tk.Encode(text.String())
	}
}
