package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// Repack lays a matrix out as a Panel. Types that have a coding of their own, Q8_0 and IQ4_NL keep their
// values; all other types are rounded to 8 bits in blocks of 32. An error that is ErrNoPanel says what of
// the matrix has no such form; any other, which weight is no number.
func Repack(m tensor.Matrix) (*Panel, error) {
	if m.Cols == 0 || m.Cols%blockColumns != 0 {
		return nil, fmt.Errorf("%s: rows of %d weights are no multiple of %d: %w", m.Name, m.Cols, blockColumns, ErrNoPanel)
	}
	p := &Panel{Rows: m.Rows, Cols: m.Cols, coding: codingOf(m.Type)}
	var encode func(t tensor.Type, dst []rowBlock, src []byte)
	switch m.Type {
	case tensor.Q4_0:
		encode = encodeQ4_0
	case tensor.Q4_1:
		encode = encodeQ4_1
	case tensor.Q4_K:
		encode = encodeQ4_K
	case tensor.Q5_0:
		encode = encodeQ5_0
	case tensor.Q5_1:
		encode = encodeQ5_1
	case tensor.Q5_K:
		encode = encodeQ5_K
	case tensor.Q6_K:
		encode = encodeQ6_K
	case tensor.Q8_0:
		encode = encodeQ8_0
	case tensor.IQ4_NL:
		encode = encodeScaled()
	default:
		encode = encodeRounded()
	}
	p.data = make([]byte, PanelBytes(m))
	row := make([]rowBlock, m.Cols/blockColumns)
	for i := range m.Rows {
		encode(m.Type, row, m.Row(i))
		group := p.groups(i/GroupRows, i/GroupRows+1)
		for b := range row {
			if !finite(row[b].scale) || !finite(row[b].offset) {
				if err := quant.CheckRow(m, i); err != nil {
					return nil, err
				}
				return nil, fmt.Errorf("%s: row %d has a block whose scale is out of the range of f16: %w", m.Name, i, ErrNoPanel)
			}
			p.form().put(group, b, i%GroupRows, &row[b])
		}
	}
	return p, nil
}

// ErrNoPanel says that a matrix cannot be laid out for products with int8, and is to be
// computed as it is stored.
var ErrNoPanel = errors.New("it has no form for products with int8")

func finite(half uint16) bool { return half&0x7c00 != 0x7c00 }

// Bits of each of eight bytes.
const (
	eachOne  = 0x0101010101010101
	lowTwo   = 0x0303030303030303
	lowFour  = 0x0f0f0f0f0f0f0f0f
	lowSeven = 0x7f7f7f7f7f7f7f7f
)

// eight returns the eight bytes from at on.
func eight(src []byte, at int) uint64 { return binary.LittleEndian.Uint64(src[at:]) }

// setEight sets the eight codes from at on.
func (b *rowBlock) setEight(at int, codes uint64) {
	binary.LittleEndian.PutUint64(b.codes[at:], codes)
}

// unpackNibbles spreads 16 bytes of ggml's nibbles: the low ones are the first
// 16 codes.
func (b *rowBlock) unpackNibbles(src []byte) {
	for at := 0; at < 16; at += 8 {
		v := eight(src, at)
		b.setEight(at, v&lowFour)
		b.setEight(16+at, v>>4&lowFour)
	}
}

func encodeQ4_0(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := range dst {
		s := src[18*i:]
		dst[i].scale = binary.LittleEndian.Uint16(s)
		dst[i].unpackNibbles(s[2:])
	}
}

func encodeQ4_1(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := range dst {
		s := src[20*i:]
		dst[i].scale, dst[i].offset = binary.LittleEndian.Uint16(s), binary.LittleEndian.Uint16(s[2:])
		dst[i].unpackNibbles(s[4:])
	}
}

func encodeQ5_0(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := range dst {
		s := src[22*i:]
		dst[i].scale = binary.LittleEndian.Uint16(s)
		dst[i].unpackNibbles(s[6:])
		dst[i].addFifths(binary.LittleEndian.Uint32(s[2:]))
	}
}

func encodeQ5_1(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := range dst {
		s := src[24*i:]
		dst[i].scale, dst[i].offset = binary.LittleEndian.Uint16(s), binary.LittleEndian.Uint16(s[2:])
		dst[i].unpackNibbles(s[8:])
		dst[i].addFifths(binary.LittleEndian.Uint32(s[4:]))
	}
}

// addFifths puts bit i above the i-th nibble.
func (b *rowBlock) addFifths(bits uint32) {
	const apart = 0x8040201008040201 // of eight copies of a byte a bit each
	for at := 0; at < blockColumns; at += 8 {
		set := (uint64(bits>>at&0xff)*eachOne&apart + lowSeven) >> 7 & eachOne
		b.setEight(at, eight(b.codes[:], at)|set<<4)
	}
}

func encodeQ8_0(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := range dst {
		s := src[34*i:]
		dst[i].scale = binary.LittleEndian.Uint16(s)
		for j, v := range s[2:34] {
			dst[i].codes[j] = v ^ 0x80 // from two's complement to around 128
		}
	}
}

// encodeScaled returns what keeps weights that are a scale, which stands in front of a block
// of 32, by a whole number of 8 bits: what the block holds with a scale of 1.
func encodeScaled() func(t tensor.Type, dst []rowBlock, src []byte) {
	const one = 0x3c00
	block, numbers := make([]byte, 34), make([]float32, blockColumns) // 34 bytes: of the longest of these types
	return func(t tensor.Type, dst []rowBlock, src []byte) {
		for i := range dst {
			s := block[:copy(block, src[t.RowBytes(i*blockColumns):][:t.BlockBytes()])]
			dst[i].scale = binary.LittleEndian.Uint16(s)
			binary.LittleEndian.PutUint16(s, one)
			quant.Dequantize(t, numbers, s)
			for j, v := range numbers {
				dst[i].codes[j] = byte(128 + int(v))
			}
		}
	}
}

func encodeQ4_K(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := 0; i < len(dst); i += superBlocks {
		s := src[i/superBlocks*144:][:144]
		putScaleMins(dst[i:][:superBlocks], s)
		for pair := range 4 { // two runs of 32 share 32 bytes
			low, high := &dst[i+2*pair], &dst[i+2*pair+1]
			for at := 0; at < blockColumns; at += 8 {
				v := eight(s[16+pair*32:], at)
				low.setEight(at, v&lowFour)
				high.setEight(at, v>>4&lowFour)
			}
		}
	}
}

func encodeQ5_K(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := 0; i < len(dst); i += superBlocks {
		s := src[i/superBlocks*176:][:176]
		putScaleMins(dst[i:][:superBlocks], s)
		fifths := s[16:][:blockColumns] // bit r is of run r
		for pair := range 4 {
			low, high := &dst[i+2*pair], &dst[i+2*pair+1]
			for at := 0; at < blockColumns; at += 8 {
				v, fifth := eight(s[48+pair*32:], at), eight(fifths, at)>>(2*pair)
				low.setEight(at, v&lowFour|fifth&eachOne<<4)
				high.setEight(at, v>>4&lowFour|fifth>>1&eachOne<<4)
			}
		}
	}
}

// putScaleMins sets the scales and minimums of 8 runs of Q4_K or Q5_K.
func putScaleMins(dst []rowBlock, src []byte) {
	d, dmin := binary.LittleEndian.Uint16(src), binary.LittleEndian.Uint16(src[2:])
	for run := range dst {
		scale, least := quant.ScaleMin(src[4:16], run)
		b := &dst[run]
		b.scale, b.offset, b.steps = d, dmin, [2]int8{int8(scale), -int8(least)}
	}
}

func encodeQ6_K(_ tensor.Type, dst []rowBlock, src []byte) {
	for i := 0; i < len(dst); i += superBlocks {
		s := src[i/superBlocks*210:][:210]
		d := binary.LittleEndian.Uint16(s[208:])
		for run := range superBlocks {
			b := &dst[i+run]
			b.scale, b.steps = d, [2]int8{int8(s[192+2*run]), int8(s[193+2*run])}
			half, in := run/4, run%4 // four runs share 64 bytes of nibbles and 32 of pairs
			lows, tops := s[64*half+in%2*32:], s[128+32*half:]
			for at := 0; at < blockColumns; at += 8 {
				b.setEight(at, eight(lows, at)>>(in/2*4)&lowFour|eight(tops, at)>>(2*in)&lowTwo<<4)
			}
		}
	}
}

// dequantize expands weights on this processor; the bits are those of any set.
var dequantize = sync.OnceValue(func() func(t tensor.Type, dst []float32, src []byte) { return Best().Dequantize })

// encodeRounded returns what rounds weights of any type to 8 bits; it may be called for one
// row after the other.
func encodeRounded() func(t tensor.Type, dst []rowBlock, src []byte) {
	expand, buf := dequantize(), make([]float32, 256) // a multiple of every type's block
	return func(t tensor.Type, dst []rowBlock, src []byte) {
		for at := 0; at < len(dst); at += len(buf) / blockColumns {
			n := min(len(buf), (len(dst)-at)*blockColumns)
			expand(t, buf[:n], src[t.RowBytes(at*blockColumns):])
			for i := range n / blockColumns {
				dst[at+i].round(buf[i*blockColumns:][:blockColumns])
			}
		}
	}
}

// round chooses the scale from the greatest weight and rounds to the nearest
// code. What is not finite makes the scale so too.
func (b *rowBlock) round(w []float32) {
	most := highestMagnitude(w)
	b.scale = tensor.ToHalf(math.Float32frombits(most) / 127)
	scale := tensor.FromHalf(b.scale)
	if most >= infinite || scale == 0 {
		for i := range b.codes {
			b.codes[i] = 128
		}
		return
	}
	const (
		whole      = 3 << 22 // a float of this magnitude has no fraction: adding it rounds to even
		leastExact = 0x1p-14 // from here on f16 rounds a scale by 2^-11 of it at most
	)
	inverse := 1 / scale
	if scale >= leastExact {
		for i, v := range w[:blockColumns] {
			b.codes[i] = byte(128 + int32(float32(v*inverse+whole)-whole))
		}
		return
	}
	for i, v := range w { // the scale may have been rounded down by much
		code := max(-127, min(127, v*inverse))
		b.codes[i] = byte(128 + int32(float32(code+whole)-whole))
	}
}
