package kernel

//go:generate go run -C gen ./neon -set neondot -out ../neondot_arm64.s -stubs ../neondot_stubs_arm64.go

// neondot is neon with the dot products of bytes of FEAT_DotProd (ARMv8.2).
var neondot = neon.withInt8("neondot", [...]int8Tiles{
	nibbles:       {low: []matMulInt8Tile{matMulInt8Nibbles1NEONDot, matMulInt8Nibbles2NEONDot, matMulInt8Nibbles3NEONDot, matMulInt8Nibbles4NEONDot}},
	offsetNibbles: {low: []matMulInt8Tile{matMulInt8OffsetNibbles1NEONDot, matMulInt8OffsetNibbles2NEONDot, matMulInt8OffsetNibbles3NEONDot, matMulInt8OffsetNibbles4NEONDot}},
	wide:          {low: []matMulInt8Tile{matMulInt8Wide1NEONDot, matMulInt8Wide2NEONDot, matMulInt8Wide3NEONDot, matMulInt8Wide4NEONDot}},
})
