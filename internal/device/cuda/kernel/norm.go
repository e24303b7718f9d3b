package kernel

import "github.com/flashback-lm/flashback/internal/device/cuda/driver"

// Norm normalises rows: x / √(mean(x²) + Eps) · Scale, or with Layer
// (x - mean(x)) / √(var(x) + Eps) · Scale + Bias.
type Norm struct {
	// X is f32 [Rows, XStride]. To is f32, which may be X, or with Half 16 bits.
	X, To       driver.Ptr
	Scale, Bias driver.Ptr // f32 [Width]
	Rows        int32
	Width       int32
	XStride     int32
	ToStride    int32
	Eps         float32
	Layer       int32 // 0 or 1
	Half        int32 // 0: To is f32; 1: f16; 2: bf16
	// Sum 1 adds the result to Into [Rows, IntoStride] f32 instead of writing To: the norm
	// behind a product in models that have one before the residual is added.
	Sum int32
}

// narrow is how wide a row is that a warp normalises; wider ones take a block of 256.
const narrow = 256

// Norm launches it.
func (s *Set) Norm(stream driver.Stream, p *Norm, early bool) error {
	if p.Width <= narrow {
		return s.launch(stream, "norm_narrow", [3]int{ceil(int(p.Rows), 4), 1, 1}, 128, 0, early, p)
	}
	return s.launch(stream, "norm_wide", [3]int{int(p.Rows), 1, 1}, 256, 0, early, p)
}
