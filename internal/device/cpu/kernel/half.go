package kernel

import "github.com/flashback-lm/flashback/internal/tensor"

func toHalf(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = tensor.ToHalf(v)
	}
}

func fromHalf(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	for i, h := range src {
		dst[i] = tensor.FromHalf(h)
	}
}
