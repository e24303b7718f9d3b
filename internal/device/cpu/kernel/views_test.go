package kernel

import "unsafe"

// The same memory as other types.

func asInt8(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

func asBlocks(b []byte) []Block {
	return unsafe.Slice((*Block)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/12)
}

func asUint16(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}
