// Package tokenizer turns text into a model's token ids and back, exactly as Hugging Face's tokenizers library does for the
// same vocabulary: byte-level BPE, SentencePiece's BPE, and its unigrams.
//
// It is our own because none of the Go libraries fits: gomlx/go-huggingface has no byte-level BPE, sugarme/tokenizer is
// neither exact nor linear on long runs, and daulet/tokenizers needs cgo.
//
// Text becomes ids in three steps: special tokens are cut out (only if asked for), the rest is split into pieces by the
// model's pre-tokenizer (words with their space, numbers, punctuation, blanks), and each piece's bytes, or characters, are
// merged pair by pair in the order in which the merges were learnt.
//
// Go strings may hold invalid UTF-8. Each invalid byte counts as a punctuation character of its own, so that every byte
// is encoded and Decode gives it back. A byte that the vocabulary lacks (SmolLM2's lacks a few control characters and the
// bytes that UTF-8 never uses) encodes to nothing, as in Hugging Face's library.
package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
)

// The ggml token types: what a GGUF says about each entry of its vocabulary (tokenizer.ggml.token_type).
const (
	TypeNormal      = 1
	TypeUnknown     = 2
	TypeControl     = 3
	TypeUserDefined = 4
	TypeUnused      = 5
	TypeByte        = 6
)

// Config is what a model file stores about its tokenizer: the tokenizer.ggml.* keys of a GGUF. A Tokenizer keeps the
// strings, which therefore must not point into memory that is unmapped later.
type Config struct {
	Model  string    // kind of tokenizer: "gpt2", byte-level BPE, "llama", SentencePiece's BPE, or "unigram", its other kind
	Pre    string    // pre-tokenizer of byte-level BPE: "smollm", "gpt-2", "llama-bpe" or "qwen2"
	Tokens []string  // stored names, by id; ordinary ones of byte-level BPE are written in the byte alphabet
	Types  []int32   // ggml token types, by id; nil when every token is ordinary
	Merges []string  // "left right", most important first
	Scores []float64 // by id: of unigrams; where SentencePiece's BPE has no merges, the token of the highest score is made first

	Normalize []Step // what is done to text first; nil: what Model and Pre stand for
	Front     Front  // where a blank is put in front
	Split     bool   // whether SentencePiece's pieces are cut in front of each blank
	// WholeFirst says that a piece that is a token is taken without merging; nil: what Pre stands for.
	WholeFirst *bool
	// ByteFallback says that SentencePiece's characters without a token become their bytes', FuseUnknown that those of
	// which even these are lacking become one unknown token in a row.
	ByteFallback, FuseUnknown bool
	Added                     map[int32]Added // how control and user-defined tokens are looked for, where not as they are written

	BOS, EOS, Unknown, Padding int32 // ids; -1 for none

	AddBOS       *bool   // whether texts begin with BOS; nil where the file does not say
	Ends         []int32 // ids that end a turn, beside EOS and those of known names; ids that are none are ignored
	ChatTemplate string  // Jinja source; "" for a model without one
}

// Limits on what New accepts. The largest vocabularies in use hold some 260 thousand tokens; the limits bound the time and
// memory that a hostile file can cost.
const (
	maxTokens    = 1 << 21
	maxMerges    = 1 << 21
	maxTextBytes = 1 << 28 // of all stored names
)

// Tokenizer encodes and decodes text. It is safe for concurrent use.
type Tokenizer struct {
	config   Config
	warnings []string
	words    map[string]int32 // the tokens that text may become, by stored name
	marks    map[string]int32 // the tokens that text never becomes, control and unknown, by stored name
	text     []byte           // the bytes of all tokens, one after the other
	bounds   []uint32         // where each token's bytes end in text
	digest   string
	files    fs.FS // of Hugging Face, that it was read from; nil: another form

	pre   preTokenizer
	model interface {
		appendIDs(ids []int32, piece string) []int32
	}
	known      *pieceCache
	written    *trie // control and user-defined tokens, as they are written
	normalized *trie // those that are looked for in normalised text
	chat       *chat
	chatErr    error // why the chat template cannot be used; nil when it can

	ends       func() []int32
	systemRole func() bool
}

// New checks the configuration and builds a tokenizer from it. The error names the key and the entry that are wrong. A
// chat template that cannot be used is no error here: Chat reports it. Tables that are odd but leave no doubt are taken
// as llama.cpp takes them: an empty name names nothing, of two equal names the last one is found, an undefined type is
// that of an unused token, and merges may name tokens that the vocabulary lacks. What is left out is in Warnings.
func New(c Config) (*Tokenizer, error) {
	c.Types = withControlEnds(c.Tokens, c.Types)
	t := &Tokenizer{config: c, known: newPieceCache()}
	bind := map[string]func() error{"gpt2": t.bindByteBPE, "llama": t.bindCharBPE, "unigram": t.bindUnigram}[c.Model]
	if bind == nil {
		return nil, fmt.Errorf("tokenizer: model %q is not supported: gpt2 (byte-level BPE) and llama (SentencePiece's BPE) are in GGUF files", clip(c.Model))
	}
	if c.Model == "llama" {
		t.config.Tokens = markBlanks(c.Tokens)
	}
	if err := t.loadTokens(); err != nil {
		return nil, err
	}
	if err := bind(); err != nil {
		return nil, err
	}
	if c.Normalize != nil {
		t.pre.normalize = normalizer(c.Normalize)
	}
	t.addTokens()
	t.digest = digest(c)
	t.bindTemplate()
	return t, nil
}

func (t *Tokenizer) bindByteBPE() (err error) {
	c := &t.config
	if t.pre, err = newPreTokenizer(c.Pre); err != nil {
		return err
	}
	if c.WholeFirst != nil {
		t.pre.wholeFirst = *c.WholeFirst
	}
	malformed := 0
	if t.model, malformed, err = newByteBPE(c.Merges, t.words, int32(len(c.Tokens)), t.pre.wholeFirst); err != nil {
		return err
	}
	if malformed > 0 {
		t.warn("%d merges (tokenizer.ggml.merges) are not two tokens with a blank between them and are left out", malformed)
	}
	return nil
}

func (t *Tokenizer) bindCharBPE() error {
	c := &t.config
	near := &neighbours{}
	for token := range t.words {
		near.add(token)
	}
	t.pre = preTokenizer{pieces: near.pieces, normalize: normalizer(BlankSteps(true)), bos: true, wholeFirst: c.WholeFirst != nil && *c.WholeFirst}
	if c.Split {
		t.pre.pieces = wordsOf
	}
	m := &charBPE{characters: newCharacters(t.words, c.ByteFallback, c.Unknown, c.FuseUnknown), whole: t.pre.wholeFirst}
	switch {
	case c.Merges != nil:
		m.merges = t.byName()
	case len(c.Scores) != len(c.Tokens):
		return fmt.Errorf("tokenizer: %d scores (tokenizer.ggml.scores) for %d tokens", len(c.Scores), len(c.Tokens))
	default:
		m.merges = byScore(c.Tokens, t.words, t.ranks())
	}
	t.model = m
	return nil
}

// loadTokens checks the vocabulary and fills the tables that depend on it alone.
func (t *Tokenizer) loadTokens() error {
	c := &t.config
	switch n := len(c.Tokens); {
	case n == 0:
		return fmt.Errorf("tokenizer: the vocabulary (tokenizer.ggml.tokens) is empty")
	case n > maxTokens:
		return fmt.Errorf("tokenizer: the vocabulary has %d tokens; at most %d are supported", n, maxTokens)
	case c.Types != nil && len(c.Types) != n:
		return fmt.Errorf("tokenizer: %d token types (tokenizer.ggml.token_type) for %d tokens", len(c.Types), n)
	}
	for _, id := range []struct {
		name  string
		value *int32
	}{{"bos", &c.BOS}, {"eos", &c.EOS}, {"unknown", &c.Unknown}, {"padding", &c.Padding}} {
		if *id.value < -1 || int(*id.value) >= len(c.Tokens) {
			t.warn("the %s token id %d is outside the vocabulary of %d tokens: the model is taken to have none", id.name, *id.value, len(c.Tokens))
			*id.value = -1
		}
	}
	size := 0
	for _, token := range c.Tokens {
		if size += len(token); size > maxTextBytes {
			return fmt.Errorf("tokenizer: the vocabulary is longer than %d bytes", maxTextBytes)
		}
	}

	t.words = make(map[string]int32, len(c.Tokens))
	t.marks = make(map[string]int32)
	t.bounds = make([]uint32, len(c.Tokens))
	t.text = make([]byte, 0, size)
	for id, token := range c.Tokens {
		t.addToken(int32(id), token)
		t.bounds[id] = uint32(len(t.text))
	}
	return nil
}

// addToken fills the tables with one token; one without a name stands for no text and is found by none.
func (t *Tokenizer) addToken(id int32, token string) {
	if token == "" {
		return
	}
	if t.IsControl(id) {
		t.marks[token] = id
	} else {
		t.words[token] = id
	}
	kind := t.kind(id)
	ordinary := kind == TypeNormal || kind == TypeUnused || kind == TypeByte
	switch {
	case t.config.Model != "gpt2":
		t.text = appendPlain(t.text, token)
	case ordinary:
		t.text = appendAlphabet(t.text, token)
	default:
		t.text = append(t.text, token...)
	}
}

// kind gives the ggml type of a token in the vocabulary; what is none of them stands for no use.
func (t *Tokenizer) kind(id int32) int32 {
	if t.config.Types == nil {
		return TypeNormal
	}
	if kind := t.config.Types[id]; kind >= TypeNormal && kind <= TypeByte {
		return kind
	}
	return TypeUnused
}

func (t *Tokenizer) warn(format string, args ...any) {
	t.warnings = append(t.warnings, "tokenizer: "+fmt.Sprintf(format, args...))
}

// Warnings says what of the configuration is wrong and was left out.
func (t *Tokenizer) Warnings() []string { return slices.Clone(t.warnings) }

// Encode gives the ids of text. Control tokens written in the text are plain text, so no document can smuggle one in;
// user-defined ones, which are ordinary words of the vocabulary, are recognised. It never adds BOS: Lead does.
func (t *Tokenizer) Encode(text string) []int32 {
	return t.appendText(nil, text, false, true)
}

// EncodeSpecial gives the ids of text with every special token recognised, the leftmost and longest first. It is for text
// that the program or its user wrote as a prompt, not for documents. It never adds BOS.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	return t.appendText(nil, text, true, true)
}

// EncodeMore gives the ids of text that goes on behind other text and begins with no letter: without the blank that
// SentencePiece puts in front of a text.
func (t *Tokenizer) EncodeMore(text string) []int32 {
	ids := t.Encode(text)
	if len(ids) > 0 && string(t.Bytes(ids[0])) == " " && !strings.HasPrefix(text, " ") {
		return ids[1:]
	}
	return ids
}

// appendText appends the ids of text to ids; control tokens are plain text unless special is set, and starts tells whether it
// begins a whole text.
func (t *Tokenizer) appendText(ids []int32, text string, special, starts bool) []int32 {
	token := func(id int32) { ids, starts = append(ids, id), false }
	t.cut(t.written, text, special, func(text string) {
		if t.pre.normalize != nil {
			text = t.pre.normalize(text)
		}
		t.cut(t.normalized, text, special, func(text string) { ids, starts = t.appendPieces(ids, text, starts), false }, token)
	}, token)
	return ids
}

// appendPieces appends the ids of text, in which no token is recognised whole, piece by piece.
func (t *Tokenizer) appendPieces(ids []int32, text string, starts bool) []int32 {
	if t.config.Model == "gpt2" {
		text = t.config.Front.put(text, " ", starts)
	} else {
		text = t.config.Front.put(strings.ReplaceAll(text, " ", blankMark), blankMark, starts)
	}
	for piece := range t.pre.pieces(text) {
		slot := t.known.slot(piece)
		if known := slot.Load(); known != nil && known.text == piece {
			ids = append(ids, known.ids...)
			continue
		}
		start := len(ids)
		ids = t.model.appendIDs(ids, piece)
		t.known.store(slot, piece, ids[start:])
	}
	return ids
}

// Decode gives the bytes of the tokens, joined: what Encode was given, invalid UTF-8 included. Control tokens are no text
// and left out, and so are ids outside the vocabulary.
func (t *Tokenizer) Decode(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		if !t.IsControl(id) {
			b.Write(t.Bytes(id))
		}
	}
	return b.String()
}

// Bytes gives the bytes that a token stands for, the name of a control token, or nil for an id outside the vocabulary. They must not be changed.
func (t *Tokenizer) Bytes(id int32) []byte {
	if id < 0 || int(id) >= len(t.bounds) {
		return nil
	}
	start, end := uint32(0), t.bounds[id]
	if id > 0 {
		start = t.bounds[id-1]
	}
	return t.text[start:end:end]
}

// IsControl tells whether a token steers the model and is no text: the beginning of a chat turn, the end of a text.
func (t *Tokenizer) IsControl(id int32) bool {
	if id < 0 || int(id) >= len(t.bounds) {
		return false
	}
	kind := t.kind(id)
	return kind == TypeControl || kind == TypeUnknown
}

// ID gives the id of a token by its stored name: "<|im_end|>", or "Ġthe" for " the". Of two with that name it is the last,
// a control token before a word.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.marks[token]; ok {
		return id, true
	}
	id, ok := t.words[token]
	return id, ok
}

// Info says what a tokenizer was made from.
type Info struct {
	Model, Pre   string // kind of tokenizer and of pre-tokenizer, as in Config
	Merges       int
	ChatTemplate bool // whether there is one
}

// Info says what the tokenizer was made from.
func (t *Tokenizer) Info() Info {
	c := &t.config
	return Info{Model: c.Model, Pre: c.Pre, Merges: len(c.Merges), ChatTemplate: c.ChatTemplate != ""}
}

// Size is the number of tokens in the vocabulary.
func (t *Tokenizer) Size() int { return len(t.bounds) }

// BOS is the id of the token that begins a text, -1 for none.
func (t *Tokenizer) BOS() int32 { return t.config.BOS }

// EOS is the id of the token that ends a text or a turn, -1 for none.
func (t *Tokenizer) EOS() int32 { return t.config.EOS }

// Digest is a short hash of all that decides how text is encoded. Two tokenizers with the same digest give the same ids, so
// an index says with it by which tokenizer its passages were counted.
func (t *Tokenizer) Digest() string { return t.digest }

func digest(c Config) string {
	h := sha256.New()
	count := func(n int) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	list := func(entries []string) {
		count(len(entries))
		for _, s := range entries {
			count(len(s))
			h.Write([]byte(s))
		}
	}
	list([]string{c.Model, preName(c.Pre)})
	list(c.Tokens)
	list(c.Merges)
	count(len(c.Types))
	for _, kind := range c.Types {
		count(int(kind))
	}
	if c.Model != "gpt2" {
		for _, score := range c.Scores {
			count(int(math.Float64bits(score)))
		}
		fmt.Fprint(h, c.Split, c.ByteFallback, c.FuseUnknown)
	}
	if c.Normalize != nil || c.Front != FrontNever || len(c.Added) > 0 {
		fmt.Fprint(h, c.Normalize, c.Front, c.Added)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// clip shortens what a file holds so that an error message stays readable.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
