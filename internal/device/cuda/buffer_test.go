package cuda

import "testing"

// BenchmarkWrite sets the rows of a long prefill, as the engine does with angles.
func BenchmarkWrite(b *testing.B) {
	buf := &buffer{rows: 2304, width: 64}
	row := make([]float32, 64)
	for b.Loop() {
		for i := range buf.rows {
			buf.Write(i, row)
		}
		buf.clean()
	}
}
