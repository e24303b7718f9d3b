package quant

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// encoders round weights to one block, by storage type.
var encoders = [tensor.Types]func(block []byte, weights []float32){
	tensor.Q4_0: encodeQ4_0,
	tensor.Q8_0: encodeQ8_0,
	tensor.Q4_K: encodeQ4_K,
}

// CanQuantize reports whether weights can be rounded to a type.
func CanQuantize(t tensor.Type) bool { return encoders[t] != nil }

// Quantize rounds weights, whole blocks, to a type that CanQuantize. A weight that is no
// finite number is an error.
func Quantize(t tensor.Type, weights []float32) ([]byte, error) {
	for i, w := range weights {
		if w-w != 0 {
			return nil, fmt.Errorf("weight %d is %v", i, w)
		}
	}
	encode, n, size := encoders[t], t.BlockWeights(), t.BlockBytes()
	out := make([]byte, t.RowBytes(len(weights)))
	for i := range len(weights) / n {
		encode(out[i*size:(i+1)*size], weights[i*n:(i+1)*n])
	}
	return out, nil
}

// putHalf writes a number in half precision.
func putHalf(b []byte, v float32) { binary.LittleEndian.PutUint16(b, tensor.ToHalf(v)) }

// greatest returns the weight of the greatest magnitude, the first of equal ones.
func greatest(weights []float32) (most float32) {
	for _, w := range weights {
		if math.Abs(float64(w)) > math.Abs(float64(most)) {
			most = w
		}
	}
	return most
}

// inverse returns 1/x, and 0 for 0.
func inverse(x float32) float32 {
	if x == 0 {
		return 0
	}
	return 1 / x
}

// encodeQ8_0 scales so that the greatest weight is 127, and rounds halves away from zero.
func encodeQ8_0(b []byte, weights []float32) {
	d := float32(math.Abs(float64(greatest(weights)))) / 127
	putHalf(b, d)
	scale := inverse(d)
	for i, w := range weights {
		b[2+i] = byte(int8(math.Round(float64(w * scale))))
	}
}

// encodeQ4_0 scales so that the greatest weight is -8.
func encodeQ4_0(b []byte, weights []float32) {
	d := greatest(weights) / -8
	putHalf(b, d)
	scale := inverse(d)
	code := func(w float32) byte { return byte(min(15, max(0, int(float32(w*scale)+8.5)))) }
	for i := range 16 {
		b[2+i] = code(weights[i]) | code(weights[i+16])<<4
	}
}
