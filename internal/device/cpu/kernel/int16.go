package kernel

import "math"

func code16(codes []int16, ldc int, scales, x []float32, ldx int, m, n int, most int16) {
	for i := range m {
		scales[i] = code16Row(codes[i*ldc:][:(n+7)&^7], x[i*ldx:][:n], most)
	}
}

func code16Row(codes []int16, x []float32, most int16) float32 {
	top := highestMagnitude(x)
	clear(codes)
	scale := math.Float32frombits(top) * (1 / float32(most))
	switch {
	case top >= infinite:
		return float32(math.NaN())
	case scale < leastNormal:
		return 0
	}
	inverse := 1 / scale
	for j, v := range x {
		codes[j] = int16(math.RoundToEven(float64(v * inverse)))
	}
	return scale
}

// KeyInt16 is where element d of the key of token t stands in a block of ScoresInt16.
func KeyInt16(t, d, dim int) int {
	return (t/groupColumns*(dim/2)+d/2)*2*groupColumns + t%groupColumns*2 + d%2
}

// ValueInt16 is where element d of the value of token t stands in a block of
// OutputsInt16.
func ValueInt16(t, d, dim int) int {
	first := d / groupColumns * groupColumns
	return first*blockColumns + (t/2*min(groupColumns, dim-first)+d-first)*2 + t%2
}

func weightsInt16(p []int16, ldp int, scales []float32, ldScales int, s []float32, lds, m, blocks int, factor float32, by, top, sum, acc []float32, dim int) {
	power := func(x float32) float32 { return float32(math.Exp2(float64(max(x, -125)))) }
	for i := range m {
		row := s[i*lds:][:blocks*blockColumns]
		highest := top[i]
		for _, v := range row {
			highest = maxOf(highest, factor*v)
		}
		if highest != top[i] {
			decay := power(top[i] - highest)
			sum[i] *= decay
			scale(acc[i*dim:][:dim], decay)
			top[i] = highest
		}
		var total float64
		for b := range blocks {
			var weights [blockColumns]float32
			for j := range weights {
				w := power(float32(factor*row[b*blockColumns+j]) - highest)
				total += float64(w)
				weights[j] = w * by[b*blockColumns+j]
			}
			var most float32
			for _, w := range weights {
				if w > most || w != w {
					most = w
				}
			}
			scale := max(most*(1.0/MostWeight), leastNormal)
			scales[b*ldScales+i] = scale
			for j, w := range weights {
				p[i*ldp+b*blockColumns+j] = int16(math.RoundToEven(float64(w / scale)))
			}
		}
		sum[i] += float32(total)
	}
}

func scoresInt16(out []float32, ldo int, q []int16, ldq int, scales []float32, keys []int16, keyScales []float32, m, dim int, _ []int16) {
	for i := range m {
		var sums [blockColumns]int32
		columns := keys
		for first := 0; first < blockColumns; first += groupColumns {
			columns = addPairs(sums[first:][:groupColumns], q[i*ldq:][:dim], columns)
		}
		for t, sum := range sums {
			out[i*ldo+t] = float32(float32(sum)*keyScales[t]) * scales[i]
		}
	}
}

func outputsInt16(acc []float32, lda int, p []int16, ldp int, scales []float32, values []int16, m, pairs, dim int, _ []int16) {
	for i := range m {
		for first := 0; first < dim; first += groupColumns {
			var sums [groupColumns]int32
			columns := min(groupColumns, dim-first)
			addPairs(sums[:columns], p[i*ldp:][:2*pairs], values[first*blockColumns:])
			for d, sum := range sums[:columns] {
				acc[i*lda+first+d] += float32(float32(sum) * scales[i])
			}
		}
	}
}

// groupColumns is how many columns stand side by side in a block of 16 bits.
const groupColumns = 16

// addPairs adds to each sum the products of a row of codes and a column of columns
// [pairs, len(sums), 2], and returns what stands behind them.
func addPairs(sums []int32, row, columns []int16) []int16 {
	for len(row) > 1 {
		a, b := int32(row[0]), int32(row[1])
		pair := columns[:2*len(sums)]
		for j := range sums {
			sums[j] += a*int32(pair[2*j]) + b*int32(pair[2*j+1])
		}
		row, columns = row[2:], columns[2*len(sums):]
	}
	return columns
}
