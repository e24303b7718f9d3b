package kernel

//go:generate go run -C gen ./neon -set neondot -out ../neondot_arm64.s -stubs ../neondot_stubs_arm64.go

// neondot is neon with the dot products of bytes of FEAT_DotProd (ARMv8.2).
var neondot = neon.withInt8("neondot", [...]int8Tiles{
	nibbles:       {low: []matMulInt8Tile{matMulInt8Nibbles1NEONDot, matMulInt8Nibbles2NEONDot, matMulInt8Nibbles3NEONDot, matMulInt8Nibbles4NEONDot}},
	offsetNibbles: {low: []matMulInt8Tile{matMulInt8OffsetNibbles1NEONDot, matMulInt8OffsetNibbles2NEONDot, matMulInt8OffsetNibbles3NEONDot, matMulInt8OffsetNibbles4NEONDot}},
	superNibbles:  {low: []matMulInt8Tile{matMulInt8SuperNibbles1NEONDot, matMulInt8SuperNibbles2NEONDot, matMulInt8SuperNibbles3NEONDot, matMulInt8SuperNibbles4NEONDot}},
	fives:         {low: []matMulInt8Tile{matMulInt8Fives1NEONDot, matMulInt8Fives2NEONDot, matMulInt8Fives3NEONDot, matMulInt8Fives4NEONDot}},
	offsetFives:   {low: []matMulInt8Tile{matMulInt8OffsetFives1NEONDot, matMulInt8OffsetFives2NEONDot, matMulInt8OffsetFives3NEONDot, matMulInt8OffsetFives4NEONDot}},
	superFives:    {low: []matMulInt8Tile{matMulInt8SuperFives1NEONDot, matMulInt8SuperFives2NEONDot, matMulInt8SuperFives3NEONDot, matMulInt8SuperFives4NEONDot}},
	superSixes:    {low: []matMulInt8Tile{matMulInt8SuperSixes1NEONDot, matMulInt8SuperSixes2NEONDot, matMulInt8SuperSixes3NEONDot, matMulInt8SuperSixes4NEONDot}},
	wide:          {low: []matMulInt8Tile{matMulInt8Wide1NEONDot, matMulInt8Wide2NEONDot, matMulInt8Wide3NEONDot, matMulInt8Wide4NEONDot}},
})
