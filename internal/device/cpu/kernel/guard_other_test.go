//go:build !linux

package kernel

// guard is plain memory where there is no way to guard its end.
type guard struct{}

func (*guard) bytes(n int) []byte     { return make([]byte, n) }
func (*guard) floats(n int) []float32 { return make([]float32, n) }
