//go:build amd64 || arm64

package kernel

import "unsafe"

// matMulInt8Tile multiplies a fixed number of rows of activations with whole
// groups of weights. Some fetch meanwhile what stands ahead bytes behind w, step bytes
// for each block of half a group.
type matMulInt8Tile func(out *float32, ldo int, q *int8, blocks *byte, cols int, w *byte, groups, ahead, step int)

// int8Tiles are those of one coding: for 1, 2 … rows, and perhaps a tall one for
// tallRows.
type int8Tiles struct {
	low  []matMulInt8Tile
	tall matMulInt8Tile
}

const tallRows = 16

// tallest returns the tallest tile for at most that many rows, and its rows.
func (t int8Tiles) tallest(rows int) (matMulInt8Tile, int) {
	if t.tall != nil && rows >= tallRows {
		return t.tall, tallRows
	}
	m := min(len(t.low), rows)
	return t.low[m-1], m
}

// tiledMatMulInt8 makes a MatMulInt8 of the tiles of each coding. A last group of
// fewer rows is left to plain Go: odd vocabularies have one.
func tiledMatMulInt8(tiles [codings]int8Tiles) func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
	return func(out []float32, ldo int, q *Quantized, firstRow, rows int, w *Panel, from, to int) {
		if rows == 0 || from >= to {
			return
		}
		whole := min(to, w.Rows/GroupRows)
		if from < whole {
			n := (whole - from) * GroupRows
			out := out[:(rows-1)*ldo+n]
			codes, blocks := q.rows(firstRow, rows)
			data := w.groups(from, whole)
			// The next weights are as many again, most likely. Each tile fetches its share
			// of them, so that memory is at work all the time and not just beside the first.
			share := len(data) * min(rows, len(tiles[w.coding].low)) / rows
			step := share / (2 * (whole - from) * (w.Cols / blockColumns))
			for i, ahead := 0, len(data); i < rows; ahead += share {
				tile, m := tiles[w.coding].tallest(rows - i)
				tile(&out[i*ldo], ldo, unsafe.SliceData(codes[i*w.Cols:]), pointer(blocks[i*(w.Cols/blockColumns):]),
					w.Cols, unsafe.SliceData(data), whole-from, ahead, step)
				i += m
			}
		}
		if first := max(from, whole); first < to {
			matMulInt8(out[(first-from)*GroupRows:], ldo, q, firstRow, rows, w, first, to)
		}
	}
}

// pointer is that to blocks for assembly, whose generator knows basic types only.
func pointer(blocks []Block) *byte { return (*byte)(unsafe.Pointer(unsafe.SliceData(blocks))) }

// withInt8 returns a set that differs from s in MatMulInt8.
func (s *Set) withInt8(name string, tiles [codings]int8Tiles) *Set {
	other := *s
	other.Name, other.MatMulInt8 = name, tiledMatMulInt8(tiles)
	return &other
}
