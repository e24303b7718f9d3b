package engine

import (
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
)

// DefaultKVBudget returns the bytes that hold two contexts of up to 8192 tokens of
// the model: one text, and as much again for evidence, other sequences and beginnings.
// A longer text needs a budget of its own. Memory is taken as it is first needed.
func DefaultKVBudget(c model.Config, kv kvcache.Format) int64 {
	return int64(KVShape(c, kv).TokenBytes()) * int64(min(c.Context, 8192)) * 2
}

// budget returns Options.KVBudget, or its default for a model.
func (o Options) budget(c model.Config) (int64, error) {
	if o.KVBudget > 0 {
		return o.KVBudget, nil
	}
	kv, err := o.KVFormat(c)
	return DefaultKVBudget(c, kv), err
}

// KVShape returns the size of one token's keys and values.
func KVShape(c model.Config, kv kvcache.Format) kvcache.Shape {
	return kvcache.Shape{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Format: kv}
}

// KVFormat returns how the options store keys and values of a model: as KV says, or
// f32 in exact compute, and in fast compute what the device reads fastest: i16 or f16.
func (o Options) KVFormat(c model.Config) (kvcache.Format, error) {
	compute, err := ParseCompute(string(o.Compute))
	if err != nil {
		return 0, err
	}
	if o.KV != "" {
		return kvcache.ParseFormat(o.KV)
	}
	if compute == Exact {
		return kvcache.F32, nil
	}
	return preferredKV(o, c.HeadDim)
}
