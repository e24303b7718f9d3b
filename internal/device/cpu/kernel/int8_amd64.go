package kernel

import "unsafe"

// matMulInt8Tile multiplies a fixed number of rows of activations with whole
// groups of weights.
type matMulInt8Tile func(out *float32, ldo int, q *int8, blocks *byte, cols int, w *byte, groups int)

// tiledMatMulInt8 makes a MatMulInt8 of tiles for 1, 2 … rows, as many of each
// coding. A last group of fewer rows is left to plain Go: odd vocabularies have one.
func tiledMatMulInt8(tiles [3][]matMulInt8Tile) func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
	return func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
		if rows == 0 || from >= to {
			return
		}
		whole := min(to, w.Rows/groupRows)
		if from < whole {
			n := (whole - from) * groupRows
			out := out[:(rows-1)*ldo+n]
			codes, blocks := q.rows(firstRow, rows)
			data := w.groups(from, whole)
			tiles := tiles[w.coding]
			for i := 0; i < rows; i += len(tiles) {
				tile := tiles[min(len(tiles), rows-i)-1]
				tile(&out[i*ldo], ldo, unsafe.SliceData(codes[i*w.Cols:]), pointer(blocks[i*(w.Cols/blockColumns):]),
					w.Cols, unsafe.SliceData(data), whole-from)
			}
		}
		if first := max(from, whole); first < to {
			matMulInt8(out[(first-from)*groupRows:], ldo, q, firstRow, rows, w, first, to)
		}
	}
}

// pointer is that to blocks for assembly, whose generator knows basic types only.
func pointer(blocks []Block) *byte { return (*byte)(unsafe.Pointer(unsafe.SliceData(blocks))) }
