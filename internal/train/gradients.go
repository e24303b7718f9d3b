package train

import (
	"context"
	"errors"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/nn"
)

// Dropout zeroes entries of the input of a factor; see nn.Dropout.
type Dropout = nn.Dropout

// Model computes losses and gradients of packed sequences through a frozen
// model, whatever the storage type of its weights. It is for one caller at a
// time.
type Model struct{}

// NewModel returns a trainer's view of the weights, which it reads but does not
// own. threads ≤ 0 is one a core; kernels "" is the fastest compute path.
func NewModel(w *model.Weights, threads int, kernels string) (*Model, error) {
	return nil, errors.New("not written yet")
}

// Close ends the model's threads.
func (m *Model) Close() {}

// Gradients adds the gradient of scale · Σ loss over the targets to into, which has
// the adapter's shape, and returns Σ -log p of the targets (natural logarithm).
// Where activated, the adapter applies from the evidence on only: the rows of the
// shared context are the base model's.
func (m *Model) Gradients(ctx context.Context, p *Packed, a, into *lora.Weights, scale float32, drop Dropout, activated bool) (float64, error) {
	return 0, errors.New("not written yet")
}

// Loss returns what Gradients returns, without a backward pass and without
// dropout. A nil adapter is the base model.
func (m *Model) Loss(ctx context.Context, p *Packed, a *lora.Weights, activated bool) (float64, error) {
	return 0, errors.New("not written yet")
}
