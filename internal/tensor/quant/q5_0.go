package quant

import "encoding/binary"

// Nibbles stand as in Q4_0; bit i of the 32 in front of them is the fifth of weight i.
func decodeQ5_0(dst []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		dst[i] = d * float32(int(fifth(q&15, high, i))-16)
		dst[i+16] = d * float32(int(fifth(q>>4, high, i+16))-16)
	}
}

// fifth puts bit i of high above a nibble.
func fifth(nibble byte, high uint32, i int) byte { return nibble | byte(high>>i&1)<<4 }
