package train

import "math"

// The constants of AdamW (Loshchilov and Hutter, arXiv 1711.05101), PyTorch's
// defaults.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// adamW holds the moments of the parameters that it steps, tensor by tensor.
type adamW struct {
	decay float64     // weight decay, decoupled: it shrinks by lr·decay whatever the gradient
	steps int         // steps taken
	m, v  [][]float32 // running means of the gradient and of its square
}

func newAdamW(decay float64, parameters [][]float32) *adamW {
	return &adamW{decay: decay, m: like(parameters), v: like(parameters)}
}

func like(tensors [][]float32) [][]float32 {
	zero := make([][]float32, len(tensors))
	for i, t := range tensors {
		zero[i] = make([]float32, len(t))
	}
	return zero
}

// step moves the parameters against the gradients. It rounds where
// torch.optim.AdamW does.
func (o *adamW) step(parameters, gradients [][]float32, lr float64) {
	o.steps++
	t := float64(o.steps)
	size := float32(lr / (1 - math.Pow(beta1, t)))
	root := float32(math.Sqrt(1 - math.Pow(beta2, t)))
	shrink := float32(1 - lr*o.decay)
	// f32(1-beta) as PyTorch computes it, not 1-f32(beta).
	oneMinus1, oneMinus2 := float32(1-beta1), float32(1-beta2)
	for i, p := range parameters {
		m, v := o.m[i], o.v[i]
		for j, g := range gradients[i] {
			m[j] += oneMinus1 * (g - m[j])
			v[j] = v[j]*float32(beta2) + oneMinus2*g*g
			denominator := float32(math.Sqrt(float64(v[j])))/root + float32(epsilon)
			p[j] = p[j]*shrink - size*m[j]/denominator
		}
	}
}

// norm returns the Euclidean norm of all gradients together.
func norm(gradients [][]float32) float64 {
	sum := 0.0
	for _, t := range gradients {
		for _, g := range t {
			sum += float64(g) * float64(g)
		}
	}
	return math.Sqrt(sum)
}

// clip scales gradients of that norm down to the limit, as
// torch.nn.utils.clip_grad_norm_ does; limit 0 leaves them.
func clip(gradients [][]float32, norm, limit float64) {
	scale := float32(limit / (norm + 1e-6))
	if limit == 0 || scale >= 1 {
		return
	}
	for _, t := range gradients {
		for i := range t {
			t[i] *= scale
		}
	}
}
