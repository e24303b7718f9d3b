package quant

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// CheckRow returns an error that names the first weight of row i that is no number, or
// infinite; nil where there is none.
func CheckRow(m tensor.Matrix, i int) error {
	row := make([]float32, m.Cols)
	Row(row, m, i)
	for j, w := range row {
		if w-w != 0 {
			return fmt.Errorf("tensor %q: weight %d of row %d is %v: the file is damaged: download it again, or use another", m.Name, j, i, w)
		}
	}
	return nil
}
