package model

import (
	"fmt"
	"math"
	"slices"
)

// Rope is a way to turn queries and keys to their positions: pair i of the first Rotated
// elements of a head by position · Base^(-2i/Rotated) / Factors[i].
type Rope struct {
	Base    float64
	Rotated int
	Factors []float32 // [Rotated/2]; nil: all 1
	Scale   float32   // of cosines and sines
}

// Ropes returns the model's ways, which RopeOf numbers.
func (c Config) Ropes() []Rope {
	if c.RopeBase == 0 {
		return nil
	}
	global := Rope{Base: c.RopeBase, Rotated: c.Turned(), Factors: c.RopeFactors, Scale: 1}
	if c.RopeScale > 0 {
		global.Scale = c.RopeScale
	}
	if c.LocalBase == 0 {
		return []Rope{global}
	}
	return []Rope{global, {Base: c.LocalBase, Rotated: c.Turned(), Scale: 1}}
}

// LongRopes returns the ways for a text that takes more than ShortContext positions; nil
// where they are the same.
func (c Config) LongRopes() []Rope {
	if c.LongFactors == nil {
		return nil
	}
	long := c.Ropes()
	long[0].Factors = c.LongFactors
	return long
}

// Long reports whether a text of so many positions turns by LongRopes.
func (c Config) Long(positions int) bool { return c.LongFactors != nil && positions > c.ShortContext }

// RopeOf returns which of the ways is a layer's; -1: positions turn nothing there.
func (c Config) RopeOf(layer int) int {
	switch {
	case c.RopeBase == 0 || c.Unturned != nil && c.Unturned[layer]:
		return -1
	case c.LocalBase > 0 && c.WindowOf(layer) > 0:
		return 1
	}
	return 0
}

// Turned returns how many elements of a head are turned.
func (c Config) Turned() int {
	if c.Rotated > 0 {
		return c.Rotated
	}
	return c.HeadDim
}

// readRope reads the rotary frequencies and how they are scaled.
func readRope(r *reader, key func(string) string, c *Config) error {
	c.RopeBase = r.float(key("rope.freq_base"), 10000)
	rotated := r.count(key("rope.dimension_count"), 1<<12, max(1, c.HeadDim))
	if r.err != nil {
		return nil // which the reader says
	}
	if !(c.RopeBase > 0) || math.IsInf(c.RopeBase, 0) {
		return fmt.Errorf("%s is %v: it must be positive", key("rope.freq_base"), c.RopeBase)
	}
	if rotated%2 != 0 || rotated > c.HeadDim {
		return fmt.Errorf("%s is %d: it must be even and at most the width of a head, %d", key("rope.dimension_count"), rotated, c.HeadDim)
	}
	if rotated < c.HeadDim {
		c.Rotated = rotated
	}
	return readScaling(r, key, c)
}

// readScaling reads how the rotary frequencies are scaled, as llama.cpp does: a factor
// without a type is a linear one, scale_linear is its old name, a factor of 0 is none, and
// the type none leaves the factor out. Other types are refused by their names.
func readScaling(r *reader, key func(string) string, c *Config) error {
	kind := "linear"
	if k := key("rope.scaling.type"); r.f.Has(k) {
		kind = r.string(k, true)
	}
	factor, named := 1.0, ""
	for _, name := range []string{"rope.scaling.factor", "rope.scale_linear"} {
		if k := key(name); named == "" && r.f.Has(k) {
			factor, named = r.float(k, 0), k
		}
	}
	attention := r.float(key("rope.scaling.attn_factor"), 1)
	if r.err != nil {
		return nil // which the reader says
	}
	if !(factor >= 0) || math.IsInf(factor, 0) {
		return fmt.Errorf("%s is %v: it must be positive", named, factor)
	}
	if !(attention > 0) || math.IsInf(attention, 0) {
		return fmt.Errorf("%s is %v: it must be positive", key("rope.scaling.attn_factor"), attention)
	}
	if attention != 1 {
		c.RopeScale = float32(attention)
	}
	switch {
	case r.has(shortFactors): // whatever the type: llama.cpp's conversion of Phi names none
		return longRope(r, key, c)
	case kind == "longrope":
		return fmt.Errorf("rotary scaling of the type longrope needs the tensors %s and %s, which are not there", shortFactors, longFactors)
	case kind == "none" || factor == 0:
	case kind == "linear":
		for i := range c.Turned() / 2 {
			if factor != 1 {
				c.divideFrequency(i, float32(factor))
			}
		}
	case kind == "yarn":
		return yarn(r, key, c, factor, attention)
	default:
		return fmt.Errorf("rotary scaling of the type %q (%s) is not supported: linear, yarn, longrope and none are", kind, key("rope.scaling.type"))
	}
	return nil
}

// Vectors of LongRoPE's factors (arXiv 2402.13753): one for texts within the original
// context, one for longer ones.
const (
	shortFactors = "rope_factors_short.weight"
	longFactors  = "rope_factors_long.weight"
)

// longRope reads the factors of LongRoPE.
func longRope(r *reader, key func(string) string, c *Config) error {
	c.RopeFactors = r.factors(shortFactors, c.Turned()/2)
	c.LongFactors = r.factors(longFactors, c.Turned()/2)
	c.ShortContext = r.count(key("rope.scaling.original_context_length"), 1<<24, c.Context)
	return nil
}

// scaling returns the rotary factors, whatever gave them, in Hugging Face's words: one
// factor as linear scaling, others as the one type that names each.
func (c Config) scaling() map[string]any {
	other := func(factor float32) bool { return factor != c.RopeFactors[0] }
	if c.LongFactors == nil && c.RopeScale == 0 && !slices.ContainsFunc(c.RopeFactors, other) {
		return map[string]any{"rope_type": "linear", "factor": c.RopeFactors[0]}
	}
	long, context, scale := c.LongFactors, c.ShortContext, float32(1)
	if long == nil {
		long, context = c.RopeFactors, c.Context
	}
	if c.RopeScale > 0 {
		scale = c.RopeScale
	}
	return map[string]any{
		"rope_type": "longrope", "short_factor": c.RopeFactors, "long_factor": long,
		"attention_factor": scale, "original_max_position_embeddings": context,
	}
}

// yarn sets the factors of YaRN (arXiv 2309.00071): frequencies that turn often within the
// original context stay, those that turn seldom are divided by the factor, and a ramp lies
// between.
func yarn(r *reader, key func(string) string, c *Config, factor, attention float64) error {
	original := float64(r.count(key("rope.scaling.original_context_length"), 1<<24, c.Context))
	fast, slow := r.amount(key("rope.scaling.yarn_beta_fast"), 32), r.amount(key("rope.scaling.yarn_beta_slow"), 1)
	attention *= r.amount(key("rope.scaling.yarn_attn_factor"), 1)
	for name, plain := range map[string]float64{"rope.scaling.yarn_ext_factor": 1, "rope.scaling.yarn_log_multiplier": 0} {
		if v := r.amount(key(name), plain); v != plain {
			return fmt.Errorf("%s is %v: YaRN with another than %v is not supported", key(name), v, plain)
		}
	}
	if r.err == nil && (fast == 0 || slow == 0 || attention == 0) {
		return fmt.Errorf("YaRN's numbers (%s and so on) must be positive", key("rope.scaling.yarn_beta_fast"))
	}
	rotated := float64(c.Turned())
	pair := func(turns float64) float64 {
		return rotated * math.Log(original/(turns*2*math.Pi)) / (2 * math.Log(c.RopeBase))
	}
	low, high := max(math.Floor(pair(fast)), 0), min(math.Ceil(pair(slow)), rotated-1)
	if low == high {
		high += 0.001
	}
	for i := range c.Turned() / 2 {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		c.divideFrequency(i, float32(1/(ramp/factor+1-ramp)))
	}
	if factor > 1 {
		attention *= 1 + 0.1*math.Log(factor)
	}
	if attention != 1 {
		c.RopeScale = float32(attention)
	}
	return nil
}

// divideFrequency divides a rotary frequency by a factor, besides those that it has.
func (c *Config) divideFrequency(i int, factor float32) {
	if c.RopeFactors == nil {
		c.RopeFactors = slices.Repeat([]float32{1}, c.Turned()/2)
	}
	c.RopeFactors[i] *= factor
}
