package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// FromHuggingFace makes a tokenizer from the files of a Hugging Face directory:
// tokenizer.json, and where they are there tokenizer_config.json, chat_template.jinja and what
// config.json and generation_config.json say of its tokens.
// What it does not do as Hugging Face's libraries would is an error that names it.
func FromHuggingFace(files fs.FS) (*Tokenizer, error) {
	c, err := readHuggingFace(files)
	if err != nil {
		return nil, err
	}
	return New(c)
}

// huggingFaceFile is what of tokenizer.json is read.
type huggingFaceFile struct {
	Added      []addedToken `json:"added_tokens"`
	Normalizer *stage       `json:"normalizer"`
	Pre        *stage       `json:"pre_tokenizer"`
	Post       *stage       `json:"post_processor"`
	Model      struct {
		Type     string           `json:"type"`
		Vocab    map[string]int32 `json:"vocab"`
		Merges   []mergeOf        `json:"merges"`
		Fallback bool             `json:"byte_fallback"`
	} `json:"model"`
}

type addedToken struct {
	ID      int32  `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// mergeOf is a merge, which older files write as "left right" and newer ones as a list.
type mergeOf string

// UnmarshalJSON reads either form.
func (m *mergeOf) UnmarshalJSON(data []byte) error {
	var pair [2]string
	if json.Unmarshal(data, (*string)(m)) == nil {
		return nil
	}
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	*m = mergeOf(pair[0] + " " + pair[1])
	return nil
}

// stage is a normalizer, pre-tokenizer or post-processor.
type stage struct {
	Type       string  `json:"type"`
	Stages     []stage `json:"pretokenizers"`
	Processors []stage `json:"processors"`
	Normalizer []stage `json:"normalizers"`
	Individual bool    `json:"individual_digits"`
	Prefix     bool    `json:"add_prefix_space"`
	Regex      *bool   `json:"use_regex"`
	Pattern    struct {
		Regex string `json:"Regex"`
	} `json:"pattern"`
	Behavior string                     `json:"behavior"`
	Invert   bool                       `json:"invert"`
	Single   []map[string]templatePiece `json:"single"`
}

type templatePiece struct {
	ID string `json:"id"`
}

// String names what the stage does, its parts behind one another.
func (s *stage) String() string {
	switch {
	case s == nil:
		return ""
	case s.Type == "Sequence":
		var parts []string
		for _, p := range slices.Concat(s.Stages, s.Normalizer) {
			parts = append(parts, p.String())
		}
		return strings.Join(parts, " ")
	case s.Type == "Digits" && !s.Individual:
		return "Digits in groups"
	case s.Type == "Split" && s.Behavior == "Isolated" && !s.Invert:
		return "Split(" + s.Pattern.Regex + ")"
	case s.Type == "ByteLevel" && !s.Prefix && s.Regex != nil && !*s.Regex:
		return "bytes"
	case s.Type == "ByteLevel" && s.Prefix:
		return "ByteLevel with a space in front"
	case s.Type == "Split":
		return "unusual Split"
	}
	return s.Type
}

// preNames are the pre-tokenizers of GGUF by what they are in tokenizer.json.
var preNames = map[string]string{
	"ByteLevel":        "gpt-2",
	"Digits ByteLevel": "smollm",
	"Split(" + wordRegex(`\p{N}{1,3}`) + ") bytes": "llama-bpe",
	"Split(" + wordRegex(`\p{N}`) + ") bytes":      "qwen2",
}

// wordRegex cuts text into words as Llama 3 and Qwen do, who differ in their digits.
func wordRegex(digits string) string {
	return `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|` + digits + `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
}

func readHuggingFace(files fs.FS) (Config, error) {
	c := Config{Model: "gpt2", BOS: -1, EOS: -1, Unknown: -1, Padding: -1}
	var f huggingFaceFile
	if err := readJSON(files, "tokenizer.json", &f); errors.Is(err, fs.ErrNotExist) {
		return c, errors.New("there is no tokenizer.json: save the tokenizer with transformers (AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))")
	} else if err != nil {
		return c, err
	}
	if f.Model.Type != "BPE" || f.Model.Fallback {
		return c, fmt.Errorf("tokenizer.json: a model of the type %q is not supported: only byte-level BPE is", clip(f.Model.Type))
	}
	var ok bool
	if c.Pre, ok = preNames[f.Pre.String()]; !ok {
		return c, fmt.Errorf("tokenizer.json: the pre-tokenizer %q is not supported", clip(f.Pre.String()))
	}
	if n := f.Normalizer.String(); n != "" && n != "NFC" || (n != "") != (c.Pre == "qwen2") {
		return c, fmt.Errorf("tokenizer.json: the normalizer %q is not supported with the pre-tokenizer %s", clip(n), c.Pre)
	}
	if err := c.takeTokens(&f); err != nil {
		return c, err
	}
	for _, m := range f.Model.Merges {
		c.Merges = append(c.Merges, string(m))
	}
	return c, c.takeSettings(files, f.Post)
}

// takeTokens lists the vocabulary by id, with the added tokens behind or among it. Ids that
// none has get names that no text becomes.
func (c *Config) takeTokens(f *huggingFaceFile) error {
	most := int32(-1)
	for token, id := range f.Model.Vocab {
		if id < 0 || id >= maxTokens {
			return fmt.Errorf("tokenizer.json: token %q has the id %d; 0 to %d are supported", clip(token), id, maxTokens-1)
		}
		most = max(most, id)
	}
	for _, a := range f.Added {
		if a.ID < 0 || a.ID >= maxTokens {
			return fmt.Errorf("tokenizer.json: the added token %q has the id %d; 0 to %d are supported", clip(a.Content), a.ID, maxTokens-1)
		}
		most = max(most, a.ID)
	}
	c.Tokens, c.Types = make([]string, most+1), make([]int32, most+1)
	for token, id := range f.Model.Vocab {
		if c.Types[id] != 0 {
			return fmt.Errorf("tokenizer.json: the tokens %q and %q both have the id %d", clip(c.Tokens[id]), clip(token), id)
		}
		c.Tokens[id], c.Types[id] = token, TypeNormal
	}
	for _, a := range f.Added {
		c.Tokens[a.ID], c.Types[a.ID] = a.Content, TypeUserDefined
		if a.Special {
			c.Types[a.ID] = TypeControl
		}
	}
	for id, kind := range c.Types {
		if kind == 0 {
			c.Tokens[id], c.Types[id] = fmt.Sprintf("[PAD%d]", id), TypeUnused
		}
	}
	return nil
}

// takeSettings reads tokenizer_config.json, which need not be there, and what the
// post-processor puts in front of a text.
func (c *Config) takeSettings(files fs.FS, post *stage) error {
	var raw map[string]any
	if err := readJSON(files, "tokenizer_config.json", &raw); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ids := map[string]int32{}
	for id, token := range c.Tokens {
		ids[token] = int32(id)
	}
	for key, to := range map[string]*int32{"bos_token": &c.BOS, "eos_token": &c.EOS, "unk_token": &c.Unknown, "pad_token": &c.Padding} {
		if id, ok := ids[tokenName(raw[key])]; ok {
			*to = id
		}
	}
	for _, name := range []string{"config.json", "generation_config.json"} {
		var said struct {
			EOS any `json:"eos_token_id"`
		}
		if err := readJSON(files, name, &said); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		c.Ends = append(c.Ends, idsOf(said.EOS)...)
	}
	lead := false
	if post != nil {
		for _, p := range append(post.Processors, *post) {
			lead = lead || len(p.Single) > 0 && c.BOS >= 0 && p.Single[0]["SpecialToken"].ID == c.Tokens[c.BOS]
		}
	}
	c.AddBOS = &lead
	template, err := readText(files, "chat_template.jinja")
	if errors.Is(err, fs.ErrNotExist) {
		template = defaultTemplate(raw["chat_template"])
	} else if err != nil {
		return err
	}
	c.ChatTemplate = template
	return nil
}

// idsOf returns token ids, which files write as a number or as a list; what is none is left
// out.
func idsOf(v any) (ids []int32) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, e := range list {
		if id, ok := e.(float64); ok && id >= 0 && id < maxTokens {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// tokenName returns the text of a token, which files write as a string or an object.
func tokenName(v any) string {
	if object, ok := v.(map[string]any); ok {
		v = object["content"]
	}
	name, _ := v.(string)
	return name
}

// defaultTemplate returns the chat template, which files write as a string or as a list of
// named ones.
func defaultTemplate(v any) string {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			if named, _ := e.(map[string]any); named["name"] == "default" {
				v = named["template"]
			}
		}
	}
	text, _ := v.(string)
	return text
}

// maxFile bounds each of the files; the largest in use have some 35 MB.
const maxFile = 256 << 20

func readText(files fs.FS, name string) (string, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is longer than %d bytes", name, maxFile)
	}
	return string(data), err
}

func readJSON(files fs.FS, name string, v any) error {
	text, err := readText(files, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
