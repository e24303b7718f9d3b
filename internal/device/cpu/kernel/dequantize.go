package kernel

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// dequantize expands blocks as dequantize_row_* of ggml-quants.c does.
func dequantize(t tensor.Type, dst []float32, src []byte) {
	src = src[:t.RowBytes(len(dst))]
	switch t {
	case tensor.F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case tensor.F16:
		for i := range dst {
			dst[i] = half(src[2*i:])
		}
	case tensor.BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case tensor.Q4_0:
		eachBlock(t, dst, src, dequantizeQ4_0)
	case tensor.Q4_1:
		eachBlock(t, dst, src, dequantizeQ4_1)
	case tensor.Q8_0:
		eachBlock(t, dst, src, dequantizeQ8_0)
	case tensor.Q4_K:
		eachBlock(t, dst, src, dequantizeQ4_K)
	case tensor.Q6_K:
		eachBlock(t, dst, src, dequantizeQ6_K)
	default:
		panic(fmt.Sprintf("kernel: dequantize %v", t)) // loaders refuse other types
	}
}

func eachBlock(t tensor.Type, dst []float32, src []byte, block func(dst []float32, b []byte)) {
	weights, bytes := t.BlockWeights(), t.BlockBytes()
	for len(dst) > 0 {
		block(dst[:weights], src[:bytes])
		dst, src = dst[weights:], src[bytes:]
	}
}

// half reads one IEEE 754 half-precision number.
func half(b []byte) float32 { return tensor.FromHalf(binary.LittleEndian.Uint16(b)) }

// The low nibbles of a block of 32 are its first 16 weights, the high ones the
// last 16.

func dequantizeQ4_0(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		dst[i] = d * float32(int(q&15)-8)
		dst[i+16] = d * float32(int(q>>4)-8)
	}
}

func dequantizeQ4_1(dst []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		dst[i] = float32(d*float32(q&15)) + m
		dst[i+16] = float32(d*float32(q>>4)) + m
	}
}

func dequantizeQ8_0(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:34] {
		dst[i] = d * float32(int8(q))
	}
}

func dequantizeQ4_K(dst []float32, b []byte) {
	d, dmin := half(b), half(b[2:])
	scales, quants := b[4:16], b[16:144]
	for i := range 8 {
		sc, m := scaleMinQ4_K(scales, i)
		step, low := d*float32(sc), dmin*float32(m)
		shift := 4 * (i & 1) // two runs of 32 share 32 bytes
		for j, q := range quants[i/2*32:][:32] {
			dst[i*32+j] = float32(step*float32(q>>shift&15)) - low
		}
	}
}

// scaleMinQ4_K unpacks the 6-bit scale and minimum of run i of 8: the first four
// stand in the low bits of bytes 0–7; of the last four, bytes 8–11 hold the low
// nibbles and the top bits of bytes 0–7 the rest.
func scaleMinQ4_K(s []byte, i int) (scale, min byte) {
	if i < 4 {
		return s[i] & 63, s[i+4] & 63
	}
	return s[i+4]&15 | s[i-4]>>6<<4, s[i+4]>>4 | s[i]>>6<<4
}

func dequantizeQ6_K(dst []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for i := range dst { // 256
		part, in := i/128, i%128
		// A half of the block: 4 runs of 32, whose low nibbles share 64 bytes
		// and whose high pairs share 32.
		run, j := in/32, in%32
		l := low[part*64+run%2*32+j] >> (run / 2 * 4) & 15
		h := high[part*32+j] >> (2 * run) & 3
		step := d * float32(int8(scales[i/16]))
		dst[i] = step * float32(int(l|h<<4)-32)
	}
}
