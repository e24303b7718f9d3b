package kernel

import "github.com/flashback-lm/flashback/internal/device/cuda/driver"

// Choice says how one row's token is chosen, as sample.Options does; the filters stand in
// the order top-k, top-p, min-p, temperature.
type Choice struct {
	Temperature float32 // 0: the greatest logit, the smallest token among equals
	TopP        float32 // 0 and 1: all
	MinP        float32 // 0: all
	TopK        int32   // 0: all
	Uniform     float32 // from [0, 1): where in the sum of weights, in order of probability, the token lies
	_           int32
}

// Choose chooses a token of each row of logits.
type Choose struct {
	Logits  driver.Ptr // f32 [Rows, Stride]
	Choices driver.Ptr // [Rows]Choice
	Tokens  driver.Ptr // int32 [Rows]
	Finite  driver.Ptr // int32 [Rows]: 1, or 0 where a logit is no finite number
	Rows    int32
	Vocab   int32
	Stride  int32
	_       int32
}

// Choose launches it.
func (s *Set) Choose(stream driver.Stream, p *Choose, early bool) error {
	return s.launch(stream, "choose", [3]int{int(p.Rows), 1, 1}, 1024, 0, early, p)
}
