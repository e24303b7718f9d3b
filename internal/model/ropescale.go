package model

import (
	"fmt"
	"math"
	"slices"
)

// linearScaling returns by what number a file divides all rotary frequencies, as
// llama.cpp reads it: a factor without a type is a linear one, scale_linear is its old
// name, a factor of 0 is none, and the type none leaves the factor out. Types that
// change more than that are refused by their names, unless their factor is 1.
func linearScaling(r *reader, key func(string) string) (float64, error) {
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
	switch {
	case r.err != nil:
		return 1, nil // which the reader says
	case !(factor >= 0) || math.IsInf(factor, 0):
		return 1, fmt.Errorf("%s is %v: it must be positive", named, factor)
	case attention != 1:
		return 1, fmt.Errorf("%s is %v: rotary scaling that changes attention's scale is not supported", key("rope.scaling.attn_factor"), attention)
	case kind == "none" || factor == 0:
		return 1, nil
	case kind == "linear" || kind == "yarn" && factor == 1:
		return factor, nil
	}
	return 1, fmt.Errorf("rotary scaling of the type %q (%s) is not supported: linear and none are", kind, key("rope.scaling.type"))
}

// divideFrequency divides a rotary frequency by a factor, besides those that it has.
func (c *Config) divideFrequency(i int, factor float32) {
	if c.RopeFactors == nil {
		c.RopeFactors = slices.Repeat([]float32{1}, c.HeadDim/2)
	}
	c.RopeFactors[i] *= factor
}
