package kernel

// matMulInt8 keeps the sums in out: an f32 is the same in memory.
func matMulInt8(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
	if rows == 0 {
		return
	}
	f := w.form()
	run := blockColumns / f.parts
	var blk rowBlock
	for g := from; g < to; g++ {
		group := w.groups(g, g+1)
		for r := range min(GroupRows, w.Rows-g*GroupRows) {
			column := out[(g-from)*GroupRows+r:]
			for i := range rows {
				column[i*ldo] = 0
			}
			for b := range w.Cols / blockColumns {
				f.get(group, b, r, &blk)
				scales, offset := blk.factors(f)
				for i := range rows {
					codes, blocks := q.rows(firstRow+i, 1)
					acc := column[i*ldo]
					for part := range f.parts {
						at := part * run
						sum := dotInt8(blk.codes[at:][:run], codes[b*blockColumns+at:]) - f.zero*blocks[b].sum(part, f.parts)
						acc += float32(float32(scales[part]*blocks[b].Scale) * float32(sum))
					}
					if f.offsets {
						acc += float32(offset * blocks[b].Total)
					}
					column[i*ldo] = acc
				}
			}
		}
	}
}

func dotInt8(u []byte, q []int8) (sum int32) {
	q = q[:len(u)]
	for i, v := range u {
		sum += int32(v) * int32(q[i])
	}
	return sum
}
