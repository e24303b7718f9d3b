package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Load opens the GGUF file at path and binds its weights, which stay in the
// mapped file. Errors name the file, the key or tensor, and the reason.
func Load(path string) (*Model, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := bind(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	m.Path, m.close = path, f.Close
	return m, nil
}

// LoadTokenizer opens only the tokenizer of the GGUF file at path.
func LoadTokenizer(path string) (*tokenizer.Tokenizer, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bindTokenizer(f)
}

// ReadConfig reads the shape of the model from the file's metadata and checks
// that it makes sense.
func ReadConfig(f *gguf.File) (Config, error) {
	r := reader{f: f}
	c := Config{Family: r.string("general.architecture", true), Name: r.string("general.name", false)}
	if r.err != nil {
		return c, r.err
	}
	if c.Family != "llama" {
		return c, fmt.Errorf("%s: architecture %q is not supported: FlashBack reads llama models", f.Path(), c.Family)
	}
	c.Layers = r.count("llama.block_count", 1<<10, 0)
	c.Hidden = r.count("llama.embedding_length", 1<<17, 0)
	c.Heads = r.count("llama.attention.head_count", 1<<12, 0)
	c.KVHeads = r.count("llama.attention.head_count_kv", 1<<12, c.Heads)
	c.FF = r.count("llama.feed_forward_length", 1<<20, 0)
	c.Context = r.count("llama.context_length", 1<<24, 0)
	c.NormEps = float32(r.float("llama.attention.layer_norm_rms_epsilon", 0))
	c.RopeBase = r.float("llama.rope.freq_base", 10000)
	scaling := r.string("llama.rope.scaling.type", false)
	if r.err != nil {
		return c, r.err
	}
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("%s: %s", f.Path(), fmt.Sprintf(format, args...))
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return bad("%d query heads cannot share %d KV heads evenly", c.Heads, c.KVHeads)
	case c.Hidden%c.Heads != 0 && !f.Has("llama.attention.key_length"):
		return bad("a hidden width of %d cannot be cut into %d heads", c.Hidden, c.Heads)
	case !(c.RopeBase > 0) || math.IsInf(c.RopeBase, 0):
		return bad("llama.rope.freq_base is %v: it must be positive", c.RopeBase)
	case !(c.NormEps >= 0 && c.NormEps < 1):
		return bad("llama.attention.layer_norm_rms_epsilon is %v: it must be between 0 and 1", c.NormEps)
	case scaling != "" && scaling != "none":
		return bad("rotary scaling %q is not supported", scaling)
	}
	c.HeadDim = r.count("llama.attention.key_length", 1<<12, c.Hidden/c.Heads)
	rotated := r.count("llama.rope.dimension_count", 1<<12, c.HeadDim)
	value := r.count("llama.attention.value_length", 1<<12, c.HeadDim)
	if r.err != nil {
		return c, r.err
	}
	if c.HeadDim%2 != 0 || rotated != c.HeadDim || value != c.HeadDim {
		return bad("heads of width %d with %d rotated and values of width %d are not supported: the three must be equal and even", c.HeadDim, rotated, value)
	}
	return c, nil
}

func bind(f *gguf.File) (*Model, error) {
	c, err := ReadConfig(f)
	if err != nil {
		return nil, err
	}
	r := reader{f: f}
	emb := r.tensor("token_embd.weight", 0, c.Hidden)
	c.Vocab = emb.Rows
	m := &Model{Weights: Weights{
		Embedding:  emb,
		OutputNorm: r.tensor("output_norm.weight", 1, c.Hidden),
		Head:       emb,
	}}
	if r.has("output.weight") {
		m.Head = r.tensor("output.weight", c.Vocab, c.Hidden)
	}
	if r.has("rope_freqs.weight") {
		c.RopeFactors = r.factors("rope_freqs.weight", c.HeadDim/2)
	}
	for i := 0; i < c.Layers && r.err == nil; i++ {
		block := func(name string, rows, cols int) tensor.Matrix {
			return r.tensor("blk."+strconv.Itoa(i)+"."+name+".weight", rows, cols)
		}
		q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		m.Layers = append(m.Layers, Layer{
			AttnNorm: block("attn_norm", 1, c.Hidden),
			Q:        block("attn_q", q, c.Hidden),
			K:        block("attn_k", kv, c.Hidden),
			V:        block("attn_v", kv, c.Hidden),
			O:        block("attn_output", c.Hidden, q),
			FFNorm:   block("ffn_norm", 1, c.Hidden),
			Gate:     block("ffn_gate", c.FF, c.Hidden),
			Up:       block("ffn_up", c.FF, c.Hidden),
			Down:     block("ffn_down", c.Hidden, c.FF),
		})
	}
	if r.err != nil {
		return nil, r.err
	}
	for _, t := range f.Tensors() {
		// A bias or a second set of experts would be left out of the arithmetic.
		if strings.HasSuffix(t.Name, ".bias") || strings.Contains(t.Name, "_exps") {
			return nil, fmt.Errorf("%s: tensor %q: llama models with biases or experts are not supported", f.Path(), t.Name)
		}
	}
	m.Config = c
	if m.Tokenizer, err = bindTokenizer(f); err != nil {
		return nil, err
	}
	if n := m.Tokenizer.Size(); n > c.Vocab {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens and the embedding %d rows", f.Path(), n, c.Vocab)
	}
	return m, nil
}

func bindTokenizer(f *gguf.File) (*tokenizer.Tokenizer, error) {
	r := reader{f: f}
	c := tokenizer.Config{
		Model:        r.string("tokenizer.ggml.model", true),
		Pre:          r.string("tokenizer.ggml.pre", false),
		Tokens:       r.strings("tokenizer.ggml.tokens"),
		Merges:       r.strings("tokenizer.ggml.merges"),
		BOS:          r.id("tokenizer.ggml.bos_token_id"),
		EOS:          r.id("tokenizer.ggml.eos_token_id"),
		Unknown:      r.id("tokenizer.ggml.unknown_token_id"),
		Padding:      r.id("tokenizer.ggml.padding_token_id"),
		ChatTemplate: r.string("tokenizer.chat_template", false),
	}
	if r.has("tokenizer.ggml.token_type") {
		c.Types = r.int32s("tokenizer.ggml.token_type")
	}
	if r.err == nil && r.has("tokenizer.ggml.add_bos_token") {
		c.AddBOS, r.err = f.Bool("tokenizer.ggml.add_bos_token")
	}
	if r.err != nil {
		return nil, r.err
	}
	t, err := tokenizer.New(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	return t, nil
}

// reader reads typed values and remembers the first error.
type reader struct {
	f   *gguf.File
	err error
}

func (r *reader) has(key string) bool {
	if r.f.Has(key) {
		return true
	}
	_, err := r.f.Tensor(key)
	return err == nil
}

func read[T any](r *reader, value T, err error) T {
	if err != nil && r.err == nil {
		r.err = err
	}
	return value
}

func (r *reader) string(key string, required bool) string {
	if !required && !r.f.Has(key) {
		return ""
	}
	v, err := r.f.String(key)
	return read(r, v, err)
}

func (r *reader) strings(key string) []string {
	v, err := r.f.Strings(key)
	return read(r, v, err)
}

// count reads a whole number from 1 to limit; with a fallback above 0 the key may
// be absent.
func (r *reader) count(key string, limit uint64, fallback int) int {
	if fallback > 0 && !r.f.Has(key) {
		return fallback
	}
	v, err := r.f.Uint(key)
	if err == nil && (v < 1 || v > limit) {
		err = fmt.Errorf("%s: key %q is %d, not from 1 to %d; the file is damaged or not a language model", r.f.Path(), key, v, limit)
	}
	return int(read(r, v, err))
}

// float reads a number; with a fallback above 0 the key may be absent.
func (r *reader) float(key string, fallback float64) float64 {
	if fallback > 0 && !r.f.Has(key) {
		return fallback
	}
	v, err := r.f.Float(key)
	return read(r, v, err)
}

// id reads a token id; -1 where the key is absent.
func (r *reader) id(key string) int32 {
	if !r.f.Has(key) {
		return -1
	}
	v, err := r.f.Uint(key)
	if err == nil && v > math.MaxInt32 {
		err = fmt.Errorf("%s: key %q is %d, which is no token", r.f.Path(), key, v)
	}
	return int32(read(r, v, err))
}

func (r *reader) int32s(key string) []int32 {
	v, err := r.f.Ints(key)
	out := make([]int32, len(v))
	for i, x := range v {
		if x < math.MinInt32 || x > math.MaxInt32 {
			err = fmt.Errorf("%s: key %q: element %d is %d, which does not fit 32 bits", r.f.Path(), key, i, x)
			break
		}
		out[i] = int32(x)
	}
	return read(r, out, err)
}

// tensor returns a matrix of the given shape; rows 0 stands for any number.
func (r *reader) tensor(name string, rows, cols int) tensor.Matrix {
	m, err := r.f.Tensor(name)
	if err == nil && (rows > 0 && m.Rows != rows || m.Cols != cols) {
		err = fmt.Errorf("%s: tensor %q is [%d, %d] and the metadata ask for [%d, %d]", r.f.Path(), name, m.Rows, m.Cols, rows, cols)
	}
	return read(r, m, err)
}

// factors reads a vector of n positive f32 numbers.
func (r *reader) factors(name string, n int) []float32 {
	m := r.tensor(name, 1, n)
	if r.err == nil && m.Type != tensor.F32 {
		r.err = fmt.Errorf("%s: tensor %q is %s, not F32", r.f.Path(), name, m.Type)
	}
	if r.err != nil {
		return nil
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(m.Data[i*4:]))
		if !(out[i] > 0) || math.IsInf(float64(out[i]), 0) {
			r.err = fmt.Errorf("%s: tensor %q: factor %d is %v, not a positive number", r.f.Path(), name, i, out[i])
		}
	}
	return out
}
