package kernel

import "github.com/flashback-lm/flashback/internal/device/cuda/driver"

// Update is one low-rank update of a product.
type Update struct {
	A, B   driver.Ptr // f32 [Rank, in], [Out, Rank]
	To     driver.Ptr // f32 [.., Stride], from its first row on
	Scale  float32
	Rank   int32
	Out    int32
	Stride int32
}

// LowRank adds up to three low-rank updates of the same input: To += Scale · x·Aᵀ·Bᵀ.
type LowRank struct {
	Updates [3]Update
	X       driver.Ptr // 16 bits [Rows, XStride], from its first row on
	Middle  driver.Ptr // f32 [Count, Rows, MaxRank], room for x·Aᵀ
	Count   int32
	Rows    int32
	Cols    int32
	XStride int32
	MaxRank int32
	MaxOut  int32
	Half    int32 // of X: 0 f32, 1 f16, 2 bf16
	_       int32
}

// LowRank launches it: two kernels.
func (s *Set) LowRank(stream driver.Stream, p *LowRank, early bool) error {
	if err := s.launch(stream, "lowrank_down", [3]int{ceil(int(p.MaxRank), 4), int(p.Rows), int(p.Count)}, 128, 0, early, p); err != nil {
		return err
	}
	return s.launch(stream, "lowrank_up", [3]int{ceil(int(p.MaxOut), 256), int(p.Rows), int(p.Count)}, 256, 0, early, p)
}
