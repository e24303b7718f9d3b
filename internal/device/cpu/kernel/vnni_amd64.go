package kernel

//go:generate go run -C gen . -set vnni -out ../vnni_amd64.s -stubs ../vnni_stubs_amd64.go -pkg kernel

// avx512vnni is avx512 with the dot products of AVX512-VNNI.
var avx512vnni = avx512.withInt8("avx512vnni", [...]int8Tiles{
	nibbles:       {low: tilesVNNI[nibbles]},
	offsetNibbles: {low: tilesVNNI[offsetNibbles]},
	wide:          {low: tilesVNNI[wide]},
}).withInt16VNNI()

// withInt16VNNI returns the set with the dot products of 16 bits of AVX512-VNNI.
func (s *Set) withInt16VNNI() *Set {
	s.ScoresInt16 = tiledScoresInt16(scoresInt161VNNI, scoresInt162VNNI, scoresInt163VNNI,
		scoresInt164VNNI, scoresInt165VNNI, scoresInt166VNNI)
	s.OutputsInt16 = tiledOutputsInt16(outputsInt161VNNI, outputsInt162VNNI, outputsInt163VNNI,
		outputsInt164VNNI, outputsInt165VNNI, outputsInt166VNNI)
	s.Rounding = roundingInt16(code16Vectors, 12, tileInt16Assembly(matMulInt16VNNI))
	return s
}

var tilesVNNI = [...][]matMulInt8Tile{
	nibbles: {
		matMulInt8Nibbles1VNNI, matMulInt8Nibbles2VNNI, matMulInt8Nibbles3VNNI, matMulInt8Nibbles4VNNI,
		matMulInt8Nibbles5VNNI, matMulInt8Nibbles6VNNI, matMulInt8Nibbles7VNNI, matMulInt8Nibbles8VNNI,
	},
	offsetNibbles: {
		matMulInt8OffsetNibbles1VNNI, matMulInt8OffsetNibbles2VNNI, matMulInt8OffsetNibbles3VNNI, matMulInt8OffsetNibbles4VNNI,
		matMulInt8OffsetNibbles5VNNI, matMulInt8OffsetNibbles6VNNI, matMulInt8OffsetNibbles7VNNI, matMulInt8OffsetNibbles8VNNI,
	},
	wide: {
		matMulInt8Wide1VNNI, matMulInt8Wide2VNNI, matMulInt8Wide3VNNI, matMulInt8Wide4VNNI,
		matMulInt8Wide5VNNI, matMulInt8Wide6VNNI, matMulInt8Wide7VNNI, matMulInt8Wide8VNNI,
	},
}
