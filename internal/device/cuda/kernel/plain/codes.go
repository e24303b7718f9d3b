package plain

import (
	"encoding/binary"
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// Quantised units: Q8 is 64 codes and 2 scales, Q6 64 codes and 4, Q4 32 bytes of codes and
// 2 pairs of a scale and a minimum, all scales in f16.

// codes packs the uth unit of a row of stored blocks.
func codes(to []byte, f kernel.Format, s kernel.Stored, raw []byte, u, cols int, numbers []float32) {
	clear(to)
	if f == kernel.Q8 || f == kernel.Q6 {
		for j := range unit {
			to[j] = 128
		}
	}
	for j := range unit {
		k := u*unit + j
		if raw == nil || k >= cols {
			continue
		}
		switch s {
		case kernel.StoredQ8_0:
			b := raw[k/32*34:]
			to[j] = b[2+k%32] + 128
			copy(to[unit+j/32*2:], b[:2])
		case kernel.StoredQ6K:
			b := raw[k/256*210:]
			d := tensor.FromHalf(binary.LittleEndian.Uint16(b[208:]))
			i := k % 256
			scale := tensor.ToHalf(d * float32(int8(b[192+i/16])))
			to[j] = byte(int(q6(b, i)) - 32 + 128)
			binary.LittleEndian.PutUint16(to[unit+j/16*2:], scale)
		case kernel.StoredQ4_0, kernel.StoredQ4_1, kernel.StoredQ4K:
			code, scale, minimum := q4(s, raw, k)
			to[j/2] |= code << (4 * (j % 2))
			binary.LittleEndian.PutUint16(to[unit/2+j/32*4:], tensor.ToHalf(scale))
			binary.LittleEndian.PutUint16(to[unit/2+j/32*4+2:], tensor.ToHalf(minimum))
		default:
			panic(fmt.Sprintf("stored type %d cannot be packed as format %d", s, f))
		}
	}
}

// q6 returns the code of 6 bits of a weight in a block of Q6_K.
func q6(b []byte, i int) byte {
	half, rest := i/128, i%128
	low := b[half*64+rest%64]
	if rest >= 64 {
		low >>= 4
	}
	return low&15 | b[128+half*32+rest%32]>>(rest/32*2)&3<<4
}

// q4 returns the code, the scale and the minimum of a weight: scale·code - minimum.
func q4(s kernel.Stored, raw []byte, k int) (code byte, scale, minimum float32) {
	number := func(b []byte) float32 { return tensor.FromHalf(binary.LittleEndian.Uint16(b)) }
	nibble := func(b []byte, i int) byte { return b[i%16] >> (i / 16 * 4) & 15 }
	switch s {
	case kernel.StoredQ4_0:
		b := raw[k/32*18:]
		d := number(b)
		return nibble(b[2:], k%32), d, 8 * d
	case kernel.StoredQ4_1:
		b := raw[k/32*20:]
		return nibble(b[4:], k%32), number(b), -number(b[2:])
	}
	b, i := raw[k/256*144:], k%256
	part := i / 32
	q := b[4:16]
	var sc, mn byte
	if part < 4 {
		sc, mn = q[part]&63, q[part+4]&63
	} else {
		sc = q[part+4]&15 | q[part-4]>>6<<4
		mn = q[part+4]>>4 | q[part]>>6<<4
	}
	code = b[16+i/64*32+i%32] >> (i % 64 / 32 * 4) & 15
	return code, number(b) * float32(sc), number(b[2:]) * float32(mn)
}

// decode returns the numbers of a unit, in f16.
func decode(f kernel.Format, from []byte) []float32 {
	out := make([]float32, unit)
	number := func(at int) float32 { return tensor.FromHalf(binary.LittleEndian.Uint16(from[at:])) }
	for j := range out {
		switch f {
		case kernel.Q8:
			out[j] = number(unit+j/32*2) * float32(int(from[j])-128)
		case kernel.Q6:
			out[j] = number(unit+j/16*2) * float32(int(from[j])-128)
		case kernel.Q4:
			at := unit/2 + j/32*4
			out[j] = number(at)*float32(from[j/2]>>(4*(j%2))&15) - number(at+2)
		}
		out[j] = half(out[j], 1)
	}
	return out
}
