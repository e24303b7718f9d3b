package engine

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cpu/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
)

// DefaultKVBudget returns the bytes that hold one context of up to 8192 tokens
// of the model and a quarter more for evidence.
func DefaultKVBudget(c model.Config, kv kvcache.Format) int64 {
	return int64(KVShape(c, kv).TokenBytes()) * int64(min(c.Context, 8192)) * 5 / 4
}

// KVShape returns the size of one token's keys and values.
func KVShape(c model.Config, kv kvcache.Format) kvcache.Shape {
	return kvcache.Shape{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Format: kv}
}

// KVFormat returns how the options store keys and values of a model: as KV says, or
// f32 in exact compute, and in fast compute i16 where the kernels multiply in 16 bits
// faster than in f32, else f16.
func (o Options) KVFormat(c model.Config) (kvcache.Format, error) {
	compute, err := ParseCompute(string(o.Compute))
	if err != nil {
		return 0, err
	}
	vectors := c.HeadDim%8 == 0 // what reads integers has whole vectors only
	if o.KV != "" {
		kv, err := kvcache.ParseFormat(o.KV)
		if err == nil && !vectors && (kv == kvcache.Q8 || kv == kvcache.I16) {
			err = fmt.Errorf("keys and values in %v need heads whose width is a multiple of 8, the model's are %d wide; use f16", kv, c.HeadDim)
		}
		return kv, err
	}
	if compute == Exact {
		return kvcache.F32, nil
	}
	set, err := kernel.Choose(o.Kernels)
	if err != nil {
		return 0, err
	}
	if set.FastInt16 && vectors {
		return kvcache.I16, nil
	}
	return kvcache.F16, nil
}
