package kernel

import "github.com/flashback-lm/flashback/internal/tensor"

// matMulInt8 keeps the sums in out: an f32 is the same in memory.
func matMulInt8(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
	if rows == 0 {
		return
	}
	zero := w.coding.zero()
	size := w.coding.blockBytes()
	var blk rowBlock
	for g := from; g < to; g++ {
		group := w.groups(g, g+1)
		for r := range min(GroupRows, w.Rows-g*GroupRows) {
			column := out[(g-from)*GroupRows+r:]
			for i := range rows {
				column[i*ldo] = 0
			}
			for b := range w.Cols / blockColumns {
				w.coding.get(group[b*size:], r, &blk)
				scale, offset := tensor.FromHalf(blk.scale), tensor.FromHalf(blk.offset)
				for i := range rows {
					codes, blocks := q.rows(firstRow+i, 1)
					sum := dotInt8(&blk.codes, codes[b*blockColumns:]) - zero*blocks[b].Sum
					acc := column[i*ldo] + float32(float32(scale*blocks[b].Scale)*float32(sum))
					if w.coding == offsetNibbles {
						acc += float32(offset * blocks[b].Total)
					}
					column[i*ldo] = acc
				}
			}
		}
	}
}

func dotInt8(u *[blockColumns]byte, q []int8) (sum int32) {
	for i, v := range q[:blockColumns] {
		sum += int32(u[i]) * int32(v)
	}
	return sum
}
