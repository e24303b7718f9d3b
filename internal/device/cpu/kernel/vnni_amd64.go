package kernel

//go:generate go run -C gen . -set vnni -out ../vnni_amd64.s -stubs ../vnni_stubs_amd64.go -pkg kernel

// avx512vnni is avx512 with the dot products of AVX512-VNNI.
var avx512vnni = avx512.withInt8("avx512vnni", tilesVNNI).withInt16VNNI()

// withInt16VNNI returns the set with the dot products of 16 bits of AVX512-VNNI.
func (s *Set) withInt16VNNI() *Set {
	s.ScoresInt16 = tiledScoresInt16(scoresInt1612VNNI, scoresInt161VNNI, scoresInt162VNNI, scoresInt163VNNI,
		scoresInt164VNNI, scoresInt165VNNI, scoresInt166VNNI)
	s.OutputsInt16 = tiledOutputsInt16(outputsInt1612VNNI, outputsInt161VNNI, outputsInt162VNNI, outputsInt163VNNI,
		outputsInt164VNNI, outputsInt165VNNI, outputsInt166VNNI)
	s.Rounding = roundingInt16(code16Vectors, 12, tileInt16Assembly(matMulInt16VNNI))
	return s
}

var tilesVNNI = [codings]int8Tiles{
	nibbles: {low: []matMulInt8Tile{
		matMulInt8Nibbles1VNNI, matMulInt8Nibbles2VNNI, matMulInt8Nibbles3VNNI, matMulInt8Nibbles4VNNI,
		matMulInt8Nibbles5VNNI, matMulInt8Nibbles6VNNI, matMulInt8Nibbles7VNNI, matMulInt8Nibbles8VNNI,
	}},
	offsetNibbles: {low: []matMulInt8Tile{
		matMulInt8OffsetNibbles1VNNI, matMulInt8OffsetNibbles2VNNI, matMulInt8OffsetNibbles3VNNI, matMulInt8OffsetNibbles4VNNI,
		matMulInt8OffsetNibbles5VNNI, matMulInt8OffsetNibbles6VNNI, matMulInt8OffsetNibbles7VNNI, matMulInt8OffsetNibbles8VNNI,
	}},
	superNibbles: {low: []matMulInt8Tile{
		matMulInt8SuperNibbles1VNNI, matMulInt8SuperNibbles2VNNI, matMulInt8SuperNibbles3VNNI, matMulInt8SuperNibbles4VNNI,
		matMulInt8SuperNibbles5VNNI, matMulInt8SuperNibbles6VNNI, matMulInt8SuperNibbles7VNNI, matMulInt8SuperNibbles8VNNI,
	}},
	fives: {low: []matMulInt8Tile{
		matMulInt8Fives1VNNI, matMulInt8Fives2VNNI, matMulInt8Fives3VNNI, matMulInt8Fives4VNNI,
		matMulInt8Fives5VNNI, matMulInt8Fives6VNNI, matMulInt8Fives7VNNI, matMulInt8Fives8VNNI,
	}},
	offsetFives: {low: []matMulInt8Tile{
		matMulInt8OffsetFives1VNNI, matMulInt8OffsetFives2VNNI, matMulInt8OffsetFives3VNNI, matMulInt8OffsetFives4VNNI,
		matMulInt8OffsetFives5VNNI, matMulInt8OffsetFives6VNNI, matMulInt8OffsetFives7VNNI, matMulInt8OffsetFives8VNNI,
	}},
	superFives: {low: []matMulInt8Tile{
		matMulInt8SuperFives1VNNI, matMulInt8SuperFives2VNNI, matMulInt8SuperFives3VNNI, matMulInt8SuperFives4VNNI,
		matMulInt8SuperFives5VNNI, matMulInt8SuperFives6VNNI, matMulInt8SuperFives7VNNI, matMulInt8SuperFives8VNNI,
	}},
	superSixes: {low: []matMulInt8Tile{
		matMulInt8SuperSixes1VNNI, matMulInt8SuperSixes2VNNI, matMulInt8SuperSixes3VNNI, matMulInt8SuperSixes4VNNI,
		matMulInt8SuperSixes5VNNI, matMulInt8SuperSixes6VNNI, matMulInt8SuperSixes7VNNI, matMulInt8SuperSixes8VNNI,
	}},
	wide: {low: []matMulInt8Tile{
		matMulInt8Wide1VNNI, matMulInt8Wide2VNNI, matMulInt8Wide3VNNI, matMulInt8Wide4VNNI,
		matMulInt8Wide5VNNI, matMulInt8Wide6VNNI, matMulInt8Wide7VNNI, matMulInt8Wide8VNNI,
	}},
}
