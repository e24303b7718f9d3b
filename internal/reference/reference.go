// Package reference has what tests share with the scripts of tools/reference: noise
// that both sides make by themselves, and files of results.
package reference

import (
	"hash/crc32"
	"math"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
)

// Noise returns n numbers between -1 and 1, by SplitMix64 over the name's checksum
// and the index, times scale, plus mean.
func Noise(name string, n int, scale, mean float32) []float32 {
	seed := uint64(crc32.ChecksumIEEE([]byte(name))) << 32
	out := make([]float32, n)
	for i := range out {
		z := uint64(i+1)*0x9e3779b97f4a7c15 + seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		unit := float32(z>>40)/(1<<23) - 1
		out[i] = float32(unit*scale) + mean
	}
	return out
}

// Tokens returns n token ids by the same noise.
func Tokens(name string, n, vocabulary int) []int32 {
	out := make([]int32, n)
	for i, v := range Noise(name, n, 1, 0) {
		out[i] = int32((v + 1) * float32(vocabulary/2))
	}
	return out
}

// Load returns the tensors of a safetensors file by name.
func Load(t testing.TB, path string) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tensors := map[string][]float32{}
	for _, x := range f.Tensors {
		tensors[x.Name] = x.Floats()
	}
	return tensors
}

// Close reports an error unless ‖got-want‖ ≤ limit · ‖want‖.
func Close(t testing.TB, what string, got, want []float32, limit float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, the reference has %d", what, len(got), len(want))
		return
	}
	if d := Distance(got, want); !(d <= limit) {
		t.Errorf("%s: ‖a-b‖/‖b‖ is %.2g, above %.2g", what, d, limit)
	}
}

// Distance returns ‖a-b‖/‖b‖; 0 where both are 0.
func Distance(a, b []float32) float64 {
	var d, n float64
	for i := range a {
		e := float64(a[i]) - float64(b[i])
		d += e * e
		n += float64(b[i]) * float64(b[i])
	}
	if d == 0 {
		return 0
	}
	return math.Sqrt(d / n)
}
