package model

import (
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/device"
)

// readShape reads what files of all families say of their shape; epsilon is the key of
// the norms'.
func readShape(r *reader, key func(string) string, epsilon string) (Config, error) {
	var c Config
	c.Layers = r.count(key("block_count"), 1<<10, 0)
	c.Hidden = r.count(key("embedding_length"), 1<<17, 0)
	c.Heads = r.uniform(key("attention.head_count"), 1<<12, 0, c.Layers)
	c.KVHeads = r.uniform(key("attention.head_count_kv"), 1<<12, c.Heads, c.Layers)
	c.FF = r.uniform(key("feed_forward_length"), 1<<20, 0, c.Layers)
	c.Context = r.count(key("context_length"), 1<<24, 0)
	c.NormEps = float32(r.float(key(epsilon), 0))
	if r.err != nil {
		return c, nil // which the reader says
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return c, fmt.Errorf("%d query heads cannot share %d KV heads evenly", c.Heads, c.KVHeads)
	case c.Hidden%c.Heads != 0 && !r.f.Has(key("attention.key_length")):
		return c, fmt.Errorf("a hidden width of %d cannot be cut into %d heads", c.Hidden, c.Heads)
	case !(c.NormEps >= 0 && c.NormEps < 1):
		return c, fmt.Errorf("%s is %v: it must be between 0 and 1", key(epsilon), c.NormEps)
	}
	c.HeadDim = r.count(key("attention.key_length"), 1<<12, c.Hidden/c.Heads)
	value := r.count(key("attention.value_length"), 1<<12, c.HeadDim)
	if r.err == nil && (c.HeadDim%2 != 0 || value != c.HeadDim) {
		return c, fmt.Errorf("heads of width %d with values of width %d are not supported: they must be equal and even", c.HeadDim, value)
	}
	return c, nil
}

// window reads a sliding window; a key that is absent, or 0, is none.
func (r *reader) window(key string) int {
	if !r.f.Has(key) {
		return 0
	}
	n, err := r.f.Uint(key)
	if n = read(r, n, err); n > 1<<24 {
		return 0 // longer than any text
	}
	return int(n)
}

// locals reads which layers have a window: the file lists them, or says that every nth
// has none; n is what files mean that do not say it.
func (r *reader) locals(key string, n, layers int) []bool {
	local := make([]bool, layers)
	if list, err := r.f.Bools(key); err == nil {
		if len(list) != layers {
			r.err = fmt.Errorf("%s: key %q has %d elements for %d layers", r.f.Path(), key, len(list), layers)
		}
		copy(local, list)
		return local
	}
	if n = r.count(key, 1<<10, n); r.err != nil {
		return nil
	}
	for i, global := range every(n, layers) {
		local[i] = !global
	}
	return local
}

// amount reads a number that is not negative; the key may be absent.
func (r *reader) amount(key string, fallback float64) float64 {
	if !r.f.Has(key) {
		return fallback
	}
	v, err := r.f.Float(key)
	if err == nil && (!(v >= 0) || math.IsInf(v, 0)) {
		err = fmt.Errorf("%s: key %q is %v: it must be a number from 0 on", r.f.Path(), key, v)
	}
	return read(r, v, err)
}

// Embedded returns the width of the embedding.
func (c Config) Embedded() int {
	if c.EmbedWidth > 0 {
		return c.EmbedWidth
	}
	return c.Hidden
}

// Scale returns what products of queries and keys are multiplied by.
func (c Config) Scale() float64 {
	if c.QueryScale > 0 {
		return c.QueryScale
	}
	return 1 / math.Sqrt(float64(c.HeadDim))
}

// Attention returns the attention of a layer.
func (c Config) Attention(layer int) device.Attention {
	return device.Attention{
		AttendShape: device.AttendShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim},
		Scale:       c.Scale(), Window: c.WindowOf(layer), SoftCap: c.ScoreCap, Halves: c.Halves,
	}
}

// WindowOf returns how many positions a token sees in a layer; 0: all.
func (c Config) WindowOf(layer int) int {
	if c.Local != nil && !c.Local[layer] {
		return 0
	}
	return c.Window
}

// Beside reports whether virtual evidence is exempt from windows, since it stands beside
// the text and not far in front of it. That is so where all layers have a window. Where
// some see all, they find it, and the others do better as they were trained: Gemma's are
// lost at distances beyond their window (docs/models.md).
func (c Config) Beside() bool { return c.Window > 0 && c.Local == nil }

// every marks the layers whose number, counted from 1, n divides.
func every(n, layers int) []bool {
	marked := make([]bool, layers)
	for i := range marked {
		marked[i] = (i+1)%n == 0
	}
	return marked
}
