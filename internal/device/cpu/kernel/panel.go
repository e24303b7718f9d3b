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

// GroupRows is how many rows of weights a Panel interleaves: one for each f32 of
// the widest vector, and for each column of an AMX tile.
const GroupRows = 16

// Panel is a matrix of weights [Rows, Cols] laid out for products with int8
// activations. In a block of 32 columns a row's weights are
//
//	scale·(u - zero) + offset
//
// with codes u of 4 or 8 bits, a scale and, for some types, an offset. Rows stand
// in groups of 16, of which the last is filled up with zeros. A group's blocks
// follow one another, each of them
//
//	codes    8 bits: [8 × 4 columns][16 rows][4 columns]
//	         4 bits: [4 × 8 columns][16 rows][4 columns], where the low nibbles
//	         hold the first 4 of 8 columns and the high ones the last 4
//	scales   [16 rows] f16
//	offsets  [16 rows] f16, if the type has them
//
// which is the order of operands of VPDPBUSD and, the codes being unpacked, of
// the B tiles of AMX.
type Panel struct {
	Rows, Cols int

	coding coding
	data   []byte
}

// coding is one of the forms of a panel's codes.
type coding uint8

const (
	nibbles       coding = iota // 4 bits around 8: Q4_0
	offsetNibbles               // 4 bits and an offset: Q4_1, Q4_K
	wide                        // 8 bits around 128: Q8_0, Q5_0, IQ4_NL and all that is rounded to it
)

// Bytes of a block of a group.
const (
	nibbleBytes = GroupRows * blockColumns / 2
	wideBytes   = GroupRows * blockColumns
	scaleBytes  = GroupRows * 2
)

// blockBytes returns the bytes of a block of a group.
func (c coding) blockBytes() int {
	return [...]int{nibbleBytes + scaleBytes, nibbleBytes + 2*scaleBytes, wideBytes + scaleBytes}[c]
}

// codingOf returns the form that weights of a type get.
func codingOf(t tensor.Type) coding {
	switch t {
	case tensor.Q4_0:
		return nibbles
	case tensor.Q4_1, tensor.Q4_K:
		return offsetNibbles
	}
	return wide
}

// PanelBytes returns the size of the data of the panel that Repack makes of a matrix, which
// needs no data for that; 0 where it makes none.
func PanelBytes(m tensor.Matrix) int64 {
	if m.Cols%blockColumns != 0 {
		return 0
	}
	p := Panel{Rows: m.Rows}
	return int64(p.Groups()) * int64(m.Cols/blockColumns*codingOf(m.Type).blockBytes())
}

// zero returns the code of a weight that is 0, or 0 where there are offsets.
func (c coding) zero() int32 { return [...]int32{8, 0, 128}[c] }

// Bytes returns the size of the panel's data.
func (p *Panel) Bytes() int64 { return int64(len(p.data)) }

// Groups returns the number of groups of 16 rows, a last one of fewer included.
func (p *Panel) Groups() int { return (p.Rows + GroupRows - 1) / GroupRows }

// groups returns the blocks of the groups from … to-1.
func (p *Panel) groups(from, to int) []byte {
	n := p.Cols / blockColumns * p.coding.blockBytes()
	return p.data[from*n : to*n]
}

// Repack lays a matrix out as a Panel. Q4_0, Q4_1, Q5_0, Q8_0 and IQ4_NL keep their
// values, those of 5 bits and of IQ4_NL in codes of 8; the scales and offsets of Q4_K are
// rounded to f16; all other types are rounded to 8 bits in blocks of 32. An error that is ErrNoPanel says what of
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
	case tensor.Q8_0:
		encode = encodeQ8_0
	case tensor.Q5_0, tensor.IQ4_NL:
		encode = encodeScaled()
	default:
		encode = encodeRounded()
	}
	blocks := m.Cols / blockColumns
	p.data = make([]byte, p.Groups()*blocks*p.coding.blockBytes())
	row := make([]rowBlock, blocks)
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
			n := p.coding.blockBytes()
			p.coding.put(group[b*n:][:n], i%GroupRows, &row[b])
		}
	}
	return p, nil
}

// ErrNoPanel says that a matrix cannot be laid out for products with int8, and is to be
// computed as it is stored.
var ErrNoPanel = errors.New("it has no form for products with int8")

func finite(half uint16) bool { return half&0x7c00 != 0x7c00 }

// rowBlock is a block of one row: its codes and, as f16, its scale and offset.
type rowBlock struct {
	codes         [blockColumns]byte
	scale, offset uint16
}

// put writes a block of row r of a group.
func (c coding) put(dst []byte, r int, b *rowBlock) {
	scales := nibbleBytes
	if c == wide {
		scales = wideBytes
		for at := 0; at < blockColumns; at += 4 {
			binary.LittleEndian.PutUint32(dst[at*GroupRows+4*r:], binary.LittleEndian.Uint32(b.codes[at:]))
		}
	} else {
		for at := 0; at < blockColumns; at += 8 {
			c := binary.LittleEndian.Uint64(b.codes[at:])
			binary.LittleEndian.PutUint32(dst[at/2*GroupRows+4*r:], uint32(c)|uint32(c>>32)<<4)
		}
	}
	binary.LittleEndian.PutUint16(dst[scales+2*r:], b.scale)
	if c == offsetNibbles {
		binary.LittleEndian.PutUint16(dst[scales+scaleBytes+2*r:], b.offset)
	}
}

// get reads what put wrote.
func (c coding) get(src []byte, r int, b *rowBlock) {
	scales := nibbleBytes
	if c == wide {
		scales = wideBytes
		for at := 0; at < blockColumns; at += 4 {
			copy(b.codes[at:at+4], src[at*GroupRows+4*r:])
		}
	} else {
		for at := 0; at < blockColumns; at += 8 {
			for i, v := range src[at/2*GroupRows+4*r:][:4] {
				b.codes[at+i], b.codes[at+4+i] = v&15, v>>4
			}
		}
	}
	b.scale, b.offset = binary.LittleEndian.Uint16(src[scales+2*r:]), 0
	if c == offsetNibbles {
		b.offset = binary.LittleEndian.Uint16(src[scales+scaleBytes+2*r:])
	}
}

// unpackNibbles spreads 16 bytes of ggml's nibbles: the low ones are the first
// 16 codes.
func (b *rowBlock) unpackNibbles(src []byte) {
	for i, v := range src[:16] {
		b.codes[i], b.codes[i+16] = v&15, v>>4
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
	for i := 0; i < len(dst); i += 8 {
		s := src[i/8*144:][:144]
		d, dmin := tensor.FromHalf(binary.LittleEndian.Uint16(s)), tensor.FromHalf(binary.LittleEndian.Uint16(s[2:]))
		for pair := range 4 { // two runs of 32 share 32 bytes
			low, high := &dst[i+2*pair], &dst[i+2*pair+1]
			for run, b := range []*rowBlock{low, high} {
				scale, least := quant.ScaleMin(s[4:16], 2*pair+run)
				b.scale, b.offset = tensor.ToHalf(d*float32(scale)), tensor.ToHalf(-dmin*float32(least))
			}
			for j, v := range s[16+pair*32:][:blockColumns] {
				low.codes[j], high.codes[j] = v&15, v>>4
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
