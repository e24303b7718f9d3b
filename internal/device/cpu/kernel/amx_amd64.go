package kernel

//go:generate go run -C gen . -set amx -out ../amx_amd64.s -stubs ../amx_stubs_amd64.go -pkg kernel

// amx is avx512vnni with tiles of 16 rows of activations in AMX, and large products in bf16.
var amx = avx512.withInt8("amx", [...]int8Tiles{
	nibbles:       {low: tilesVNNI[nibbles], tall: matMulInt8NibblesAMX},
	offsetNibbles: {low: tilesVNNI[offsetNibbles], tall: matMulInt8OffsetNibblesAMX},
	wide:          {low: tilesVNNI[wide], tall: matMulInt8WideAMX},
}).withInt16VNNI().withBF16()
