package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
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
	t, err := New(c)
	if err == nil {
		t.files = files
	}
	return t, err
}

// huggingFaceFile is what of tokenizer.json is read.
type huggingFaceFile struct {
	Added      []addedToken `json:"added_tokens"`
	Normalizer *stage       `json:"normalizer"`
	Pre        *stage       `json:"pre_tokenizer"`
	Post       *stage       `json:"post_processor"`
	Decoder    *stage       `json:"decoder"`
	Model      struct {
		Type       string     `json:"type"`
		Vocab      vocabulary `json:"vocab"`
		UnknownID  *int32     `json:"unk_id"`
		Merges     []mergeOf  `json:"merges"`
		Unknown    *string    `json:"unk_token"`
		Prefix     string     `json:"continuing_subword_prefix"`
		Suffix     string     `json:"end_of_word_suffix"`
		Fallback   bool       `json:"byte_fallback"`
		Fuse       bool       `json:"fuse_unk"`
		WholeFirst bool       `json:"ignore_merges"`
	} `json:"model"`

	plain bool // from vocab.json and merges.txt: what adds BOS is told by the settings alone
}

type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	Special    bool   `json:"special"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	SingleWord bool   `json:"single_word"`
	Normalized bool   `json:"normalized"`
}

// vocabulary is a map of tokens to ids, or, of unigrams, a list of tokens with their scores.
type vocabulary struct {
	ids    map[string]int32
	scores []float64 // by id; nil in a map
}

// UnmarshalJSON reads either form.
func (v *vocabulary) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '[' {
		return json.Unmarshal(data, &v.ids)
	}
	var list [][2]json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	v.ids, v.scores = make(map[string]int32, len(list)), make([]float64, len(list))
	for id, entry := range list {
		var token string
		if err := errors.Join(json.Unmarshal(entry[0], &token), json.Unmarshal(entry[1], &v.scores[id])); err != nil {
			return err
		}
		v.ids[token] = int32(id)
	}
	return nil
}

// mergeOf is a merge, which older files write as "left right" and newer ones as a list.
type mergeOf string

// UnmarshalJSON reads either form.
func (m *mergeOf) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(m))
	}
	var pair [2]string
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	*m = mergeOf(pair[0] + " " + pair[1])
	return nil
}

// stage is a normalizer, pre-tokenizer, post-processor or decoder.
type stage struct {
	Type       string  `json:"type"`
	Stages     []stage `json:"pretokenizers"`
	Processors []stage `json:"processors"`
	Normalizer []stage `json:"normalizers"`
	Individual bool    `json:"individual_digits"`
	Prefix     bool    `json:"add_prefix_space"`
	Regex      *bool   `json:"use_regex"`
	Pattern    struct {
		Regex  string  `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Content  string                     `json:"content"`
	Prepend  string                     `json:"prepend"`
	Left     bool                       `json:"strip_left"`
	Right    bool                       `json:"strip_right"`
	Mark     string                     `json:"replacement"`
	Scheme   string                     `json:"prepend_scheme"`
	Split    *bool                      `json:"split"`
	Behavior string                     `json:"behavior"`
	Invert   bool                       `json:"invert"`
	Single   []map[string]templatePiece `json:"single"`
}

type templatePiece struct {
	ID string `json:"id"`
}

// parts are the stages of a sequence, or the stage itself.
func (s *stage) parts() []stage {
	switch {
	case s == nil:
		return nil
	case s.Type == "Sequence":
		var parts []stage
		for _, p := range slices.Concat(s.Stages, s.Normalizer, s.Processors) {
			parts = append(parts, p.parts()...)
		}
		return parts
	}
	return []stage{*s}
}

// words cut text as llama-bpe and qwen2 do, which differ in their digits, and as gpt-4o and tekken do.
func llamaWords(digits string) string {
	return `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|` + digits + `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
}

func gpt4oWords(ending, digits string) string {
	const capital, small = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
	return `[^\r\n\p{L}\p{N}]?` + capital + `*` + small + `+` + ending + `|[^\r\n\p{L}\p{N}]?` + capital + `+` + small + `*` + ending +
		`|` + digits + `| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
}

const gpt2Words = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// preNames are the pre-tokenizers of byte-level BPE by the expressions that they cut by.
var preNames = map[string]string{
	"":                       "none",
	gpt2Words:                "gpt-2",
	"digits " + gpt2Words:    "smollm",
	llamaWords(`\p{N}{1,3}`): "dbrx",
	llamaWords(`\p{N}`):      "qwen2",
	gpt4oWords(`(?i:'s|'t|'re|'ve|'m|'ll|'d)?`, `\p{N}{1,3}`): "gpt-4o",
	gpt4oWords(``, `\p{N}`):                                   "tekken",
}

func readHuggingFace(files fs.FS) (Config, error) {
	c := Config{BOS: -1, EOS: -1, Unknown: -1, Padding: -1}
	var f huggingFaceFile
	if err := readJSON(files, "tokenizer.json", &f); errors.Is(err, fs.ErrNotExist) {
		if f, err = readVocabAndMerges(files); err != nil {
			return c, err
		}
	} else if err != nil {
		return c, err
	}
	unigrams := f.Model.Type == "Unigram"
	if f.Model.Type != "BPE" && f.Model.Type != "" && !unigrams {
		return c, fmt.Errorf("tokenizer.json: a model of the type %q is not supported: BPE and Unigram are", clip(f.Model.Type))
	}
	if f.Model.Prefix != "" || f.Model.Suffix != "" {
		return c, fmt.Errorf("tokenizer.json: continuing_subword_prefix and end_of_word_suffix are not supported")
	}
	pre := f.Pre.parts()
	c.Model = "llama"
	for _, p := range append(f.Decoder.parts(), pre...) {
		if p.Type == "ByteLevel" {
			c.Model = "gpt2"
		}
	}
	if unigrams {
		if c.Model = "unigram"; f.Model.UnknownID != nil {
			c.Unknown = *f.Model.UnknownID
		}
	}
	var err error
	if c.Normalize, err = steps(f.Normalizer); err != nil {
		return c, err
	}
	if c.Model == "gpt2" {
		err = c.takeBytePre(pre)
	} else {
		err = c.takeCharPre(pre)
	}
	if err != nil {
		return c, err
	}
	c.WholeFirst, c.ByteFallback, c.FuseUnknown = &f.Model.WholeFirst, f.Model.Fallback, f.Model.Fuse
	if c.Pre == "dbrx" && f.Model.WholeFirst {
		c.Pre = "llama-bpe"
	}
	if err := f.addedTokens(files); err != nil {
		return c, err
	}
	if err := c.takeTokens(&f); err != nil {
		return c, err
	}
	if unigrams {
		c.Scores = f.Model.Vocab.scores
		return c, c.takeSettings(files, &f)
	}
	c.Merges = []string{}
	for _, m := range f.Model.Merges {
		c.Merges = append(c.Merges, string(m))
	}
	return c, c.takeSettings(files, &f)
}

// steps reads a normalizer.
func steps(s *stage) ([]Step, error) {
	all := []Step{}
	for _, p := range s.parts() {
		step := Step{Kind: p.Type}
		switch _, form := forms[p.Type]; {
		case form:
		case p.Type == "Replace" && p.Pattern.String != nil && *p.Pattern.String != "":
			step.From, step.To = *p.Pattern.String, p.Content
		case p.Type == "Prepend":
			step.To = p.Prepend
		case p.Type == "Strip":
			step.Left, step.Right = p.Left, p.Right
		default:
			return nil, fmt.Errorf("tokenizer.json: the normalizer %q is not supported", clip(strings.TrimSpace(p.Type+" "+p.Pattern.Regex)))
		}
		all = append(all, step)
	}
	return all, nil
}

// takeBytePre reads what cuts text before its bytes are merged.
func (c *Config) takeBytePre(parts []stage) error {
	var cuts []string
	for _, p := range parts {
		isolated := p.Behavior == "Isolated" && !p.Invert || p.Behavior == "Removed" && p.Invert
		switch {
		case p.Type == "ByteLevel":
			if p.Regex == nil || *p.Regex {
				cuts = append(cuts, gpt2Words)
			}
			if p.Prefix {
				c.Front = FrontAlways
			}
		case p.Type == "Digits" && p.Individual:
			cuts = append(cuts, "digits")
		case p.Type == "Split" && isolated && p.Pattern.Regex != "":
			cuts = append(cuts, p.Pattern.Regex)
		default:
			return unsupportedPre(p)
		}
	}
	name, ok := preNames[strings.Join(cuts, " ")]
	if !ok {
		return fmt.Errorf("tokenizer.json: text that is cut by %q is not supported", clip(strings.Join(cuts, " ")))
	}
	if c.Front != FrontNever && name != "gpt-2" && name != "none" {
		return fmt.Errorf("tokenizer.json: add_prefix_space is not supported where text is cut by %q", clip(strings.Join(cuts, " ")))
	}
	c.Pre = name
	if slices.Equal(c.Normalize, preSteps[name]) {
		c.Normalize = nil // as in a GGUF file
	}
	return nil
}

// takeCharPre reads what cuts text before its characters are merged.
func (c *Config) takeCharPre(parts []stage) error {
	for _, p := range parts {
		switch {
		case p.Type == "Metaspace" && p.Mark == blankMark && c.Front == FrontNever && !c.Split:
			c.Split = p.Split == nil || *p.Split
			switch p.Scheme {
			case "always", "":
				c.Front = FrontAlways
			case "first":
				c.Front = FrontFirst
			case "never":
			default:
				return unsupportedPre(p)
			}
		case p.Type == "Split" && p.Pattern.String != nil && *p.Pattern.String == " " && slices.ContainsFunc(c.Normalize, func(s Step) bool { return s.Kind == "Replace" && s.From == " " }):
			// there is no blank left
		default:
			return unsupportedPre(p)
		}
	}
	return nil
}

func unsupportedPre(p stage) error {
	if p.Type == "Digits" {
		p.Type = "Digits in groups"
	}
	what := strings.TrimSpace(p.Type + " " + p.Behavior + " " + p.Scheme + " " + p.Pattern.Regex)
	return fmt.Errorf("tokenizer.json: the pre-tokenizer %q is not supported", clip(what))
}

// readVocabAndMerges reads the two files that GPT-2 and OPT have in the place of tokenizer.json.
func readVocabAndMerges(files fs.FS) (f huggingFaceFile, err error) {
	if err = readJSON(files, "vocab.json", &f.Model.Vocab.ids); err == nil {
		var merges string
		if merges, err = readText(files, "merges.txt"); err == nil {
			for line := range strings.SplitSeq(merges, "\n") {
				if line = strings.TrimSuffix(line, "\r"); line != "" && !strings.HasPrefix(line, "#version") {
					f.Model.Merges = append(f.Model.Merges, mergeOf(line))
				}
			}
			f.Pre = &stage{Type: "ByteLevel"}
			f.plain = true
			return f, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no tokenizer.json, nor vocab.json with merges.txt: save the tokenizer with transformers (AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))")
		if _, model := fs.Stat(files, "tokenizer.model"); model == nil {
			err = errors.New("there is only tokenizer.model: write it as tokenizer.json with transformers (AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))")
		}
	}
	return f, err
}

// takeTokens lists the vocabulary by id, with the added tokens behind or among it. Ids that
// none has get names that no text becomes.
func (c *Config) takeTokens(f *huggingFaceFile) error {
	most := int32(-1)
	for token, id := range f.Model.Vocab.ids {
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
	for token, id := range f.Model.Vocab.ids {
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
		if how := (Added{a.LStrip, a.RStrip, a.SingleWord, a.Normalized}); how != (Added{}) {
			if c.Added == nil {
				c.Added = map[int32]Added{}
			}
			c.Added[a.ID] = how
		}
	}
	for id, kind := range c.Types {
		if kind == 0 {
			c.Tokens[id], c.Types[id] = fmt.Sprintf("[PAD%d]", id), TypeUnused
		}
	}
	return nil
}

// takeSettings reads the files beside the tokenizer's, none of which need be there, and what the post-processor puts in front
// of a text.
func (c *Config) takeSettings(files fs.FS, f *huggingFaceFile) error {
	settings := map[string]any{}
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} { // the second goes before the first
		if err := readJSON(files, name, &settings); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	ids := map[string]int32{}
	for id, token := range c.Tokens {
		ids[token] = int32(id)
	}
	if f.Model.Unknown != nil {
		if id, ok := ids[*f.Model.Unknown]; ok {
			c.Unknown = id
		}
	}
	for key, to := range map[string]*int32{"bos_token": &c.BOS, "eos_token": &c.EOS, "unk_token": &c.Unknown, "pad_token": &c.Padding} {
		if id, ok := ids[tokenName(settings[key])]; ok {
			*to = id
			if f.plain {
				c.Types[id] = TypeControl
			}
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
	lead, told := settings["add_bos_token"].(bool)
	for _, p := range f.Post.parts() {
		first := len(p.Single) > 0 && c.BOS >= 0 && p.Single[0]["SpecialToken"].ID == c.Tokens[c.BOS]
		lead = lead || first && !told
	}
	c.AddBOS = &lead
	template, err := readText(files, "chat_template.jinja")
	if errors.Is(err, fs.ErrNotExist) {
		template = defaultTemplate(settings["chat_template"])
	} else if err != nil {
		return err
	}
	c.ChatTemplate = template
	return nil
}

// addedTokens reads the tokens that tokenizer_config.json and added_tokens.json add, which go before those of the file.
func (f *huggingFaceFile) addedTokens(files fs.FS) error {
	var settings struct {
		Decoder map[string]addedToken `json:"added_tokens_decoder"`
	}
	plain := map[string]int32{}
	for name, to := range map[string]any{"tokenizer_config.json": &settings, "added_tokens.json": &plain} {
		if err := readJSON(files, name, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if f.plain { // a tokenizer.json has them all
		for token, id := range plain {
			f.Added = append(f.Added, addedToken{ID: id, Content: token})
		}
	}
	for id, token := range settings.Decoder {
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil {
			return fmt.Errorf("tokenizer_config.json: added_tokens_decoder has the id %q", clip(id))
		}
		token.ID = int32(n)
		f.Added = append(f.Added, token)
	}
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
