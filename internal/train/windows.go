package train

import (
	"context"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/nn/backward"
)

// Windows are what a run trains on, or is validated by, in their order.
type Windows interface {
	Len() int
	// Pack makes window i ready.
	Pack(i int) (Window, error)
}

// Window is a window with the branches of its strides.
type Window interface {
	Tokens() int  // tokens that a forward encodes
	Targets() int // tokens that the loss is over
	// Gradients returns the sum of the targets' losses under the adapter and adds
	// scale times its gradient to into. Dropout is drawn by the seed alone.
	Gradients(ctx context.Context, adapter, into *lora.Weights, scale float32, seed uint64) (float64, error)
	// Loss returns the sum of the targets' losses, without dropout.
	Loss(ctx context.Context, adapter *lora.Weights) (float64, error)
}

// dropoutSeed mixes the run's seed, the step and the window's place in its batch,
// so that resuming needs no state of a random generator.
func dropoutSeed(seed uint64, step, window int) uint64 {
	return mix(mix(mix(seed)+uint64(step)) + uint64(window))
}

// mix is a step of SplitMix64.
func mix(x uint64) uint64 { return backward.Mix(x + 0x9e3779b97f4a7c15) }
