package kernel

//go:generate go run -C gen . -set amx -out ../amx_amd64.s -stubs ../amx_stubs_amd64.go -pkg kernel

// amx is avx512vnni with tiles of 16 rows of activations in AMX, and large products in bf16.
var amx = avx512.withInt8("amx", tilesAMX()).withInt16VNNI().withBF16()

// tilesAMX are those of VNNI and taller ones in AMX, which has none for two scales in a block: half
// of a tile's depth would be idle.
func tilesAMX() [codings]int8Tiles {
	tiles := tilesVNNI
	for c, tall := range [codings]matMulInt8Tile{
		nibbles:       matMulInt8NibblesAMX,
		offsetNibbles: matMulInt8OffsetNibblesAMX,
		superNibbles:  matMulInt8SuperNibblesAMX,
		fives:         matMulInt8FivesAMX,
		offsetFives:   matMulInt8OffsetFivesAMX,
		superFives:    matMulInt8SuperFivesAMX,
		wide:          matMulInt8WideAMX,
	} {
		tiles[c].tall = tall
	}
	return tiles
}
