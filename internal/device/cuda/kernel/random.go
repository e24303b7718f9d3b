package kernel

import "github.com/flashback-lm/flashback/internal/device/cuda/driver"

// Random fills memory with numbers that follow from the seed and their place: for shapes of
// models without their weights.
type Random struct {
	To     driver.Ptr
	Count  uint64 // elements
	Seed   uint64
	Std    float32 // standard deviation
	Stored Stored  // F32, F16 or BF16
}

// Random launches it.
func (s *Set) Random(stream driver.Stream, p *Random) error {
	return s.launch(stream, "random", [3]int{8 * s.card.Multiprocessors, 1, 1}, 256, 0, false, p)
}
