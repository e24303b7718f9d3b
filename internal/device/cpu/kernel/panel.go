package kernel

import (
	"encoding/binary"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// GroupRows is how many rows of weights a Panel interleaves: one for each f32 of
// the widest vector, and for each column of an AMX tile.
const GroupRows = 16

// Panel is a matrix of weights [Rows, Cols] laid out for products with int8
// activations. In a block of 32 columns a row's weights are
//
//	scale·(u - zero) + offset
//
// with codes u of 4, 5, 6 or 8 bits, a scale and, for some types, an offset. Rows stand
// in groups of 16, of which the last is filled up with zeros. A group's blocks
// follow one another, each of them
//
//	codes    8 bits: [8 × 4 columns][16 rows][4 columns]
//	         fewer: the low 4 bits in [4 × 8 columns][16 rows][4 columns], where the low
//	         nibbles hold the first 4 of 8 columns and the high ones the last 4; then
//	         5 bits: the fifth in [16 rows][4 columns], bit i for the i-th 4 columns of 32
//	         6 bits: the last two in [2 × 16 columns][16 rows][4 columns], from bit 2i on
//	         for the i-th 4 columns of 16
//	scales   [16 rows] f16
//	offsets  [16 rows] f16, if the type has them
//
// which is the order of operands of VPDPBUSD and, the codes being unpacked, of
// the B tiles of AMX.
//
// Types whose blocks have 256 weights have scales of two levels, and keep them: in front of 8
// blocks stand
//
//	scales   [16 rows] f16
//	offsets  [16 rows] f16, if the type has them
//
// and behind the codes of each block, in place of its own,
//
//	steps    [16 rows][2] int8
//
// by which they are multiplied: the scale's and the offset's, or, of 6 bits, that of the
// first 16 columns' scale and that of the last.
type Panel struct {
	Rows, Cols int

	coding coding
	data   []byte
}

// coding is one of the forms of a panel's blocks.
type coding uint8

const (
	nibbles       coding = iota // Q4_0
	offsetNibbles               // Q4_1
	superNibbles                // Q4_K
	fives                       // Q5_0
	offsetFives                 // Q5_1
	superFives                  // Q5_K
	superSixes                  // Q6_K
	wide                        // Q8_0, IQ4_NL and all that is rounded to it
	codings
)

// form is what a coding has.
type form struct {
	bits    int   // of a code
	zero    int32 // the code of a weight that is 0, or 0 where there are offsets
	offsets bool
	super   bool // scales of two levels
	parts   int  // runs of columns of a block that have a scale each
}

var forms = [codings]form{
	nibbles:       {bits: 4, zero: 8, parts: 1},
	offsetNibbles: {bits: 4, offsets: true, parts: 1},
	superNibbles:  {bits: 4, offsets: true, super: true, parts: 1},
	fives:         {bits: 5, zero: 16, parts: 1},
	offsetFives:   {bits: 5, offsets: true, parts: 1},
	superFives:    {bits: 5, offsets: true, super: true, parts: 1},
	superSixes:    {bits: 6, zero: 32, super: true, parts: 2},
	wide:          {bits: 8, zero: 128, parts: 1},
}

// codingOf returns the form that weights of a type get.
func codingOf(t tensor.Type) coding {
	switch t {
	case tensor.Q4_0:
		return nibbles
	case tensor.Q4_1:
		return offsetNibbles
	case tensor.Q4_K:
		return superNibbles
	case tensor.Q5_0:
		return fives
	case tensor.Q5_1:
		return offsetFives
	case tensor.Q5_K:
		return superFives
	case tensor.Q6_K:
		return superSixes
	}
	return wide
}

const (
	scaleBytes  = GroupRows * 2
	superBlocks = 8 // blocks that share the scales in front of them
)

// codeBytes returns the bytes of the codes of a block of a group.
func (f *form) codeBytes() int { return GroupRows * blockColumns * f.bits / 8 }

// scaleBytes returns the bytes of a group's scales and offsets in f16.
func (f *form) scaleBytes() int {
	if f.offsets {
		return 2 * scaleBytes
	}
	return scaleBytes
}

// blockBytes returns the bytes of a block of a group.
func (f *form) blockBytes() int {
	if f.super {
		return f.codeBytes() + 2*GroupRows
	}
	return f.codeBytes() + f.scaleBytes()
}

// groupBytes returns the bytes of so many blocks of a group; with scales of two levels,
// whole eights of blocks.
func (f *form) groupBytes(blocks int) int {
	n := blocks * f.blockBytes()
	if f.super {
		n += blocks / superBlocks * f.scaleBytes()
	}
	return n
}

// at returns where a block of a group begins, and its scales and offsets.
func (f *form) at(block int) (codes, scales int) {
	if !f.super {
		codes = block * f.blockBytes()
		return codes, codes + f.codeBytes()
	}
	scales = f.groupBytes(block / superBlocks * superBlocks)
	return scales + f.scaleBytes() + block%superBlocks*f.blockBytes(), scales
}

// PanelBytes returns the size of the data of the panel that Repack makes of a matrix, which
// needs no data for that; 0 where it makes none.
func PanelBytes(m tensor.Matrix) int64 {
	if m.Cols%blockColumns != 0 {
		return 0
	}
	p := Panel{Rows: m.Rows}
	return int64(p.Groups()) * int64(forms[codingOf(m.Type)].groupBytes(m.Cols/blockColumns))
}

// Bytes returns the size of the panel's data.
func (p *Panel) Bytes() int64 { return int64(len(p.data)) }

// Groups returns the number of groups of 16 rows, a last one of fewer included.
func (p *Panel) Groups() int { return (p.Rows + GroupRows - 1) / GroupRows }

// form returns that of the panel's coding.
func (p *Panel) form() *form { return &forms[p.coding] }

// groups returns the blocks of the groups from … to-1.
func (p *Panel) groups(from, to int) []byte {
	n := p.form().groupBytes(p.Cols / blockColumns)
	return p.data[from*n : to*n]
}

// rowBlock is a block of one row: its codes, as f16 its scale and offset, and what these
// are multiplied by where they have two levels.
type rowBlock struct {
	codes         [blockColumns]byte
	scale, offset uint16
	steps         [2]int8
}

// factors returns the scale of each half of a block, and its offset. Both are exact: 11
// significant bits by 8.
func (b *rowBlock) factors(f *form) (scales [2]float32, offset float32) {
	scale, offset := tensor.FromHalf(b.scale), tensor.FromHalf(b.offset)
	first, last := float32(b.steps[0]), float32(b.steps[1])
	switch {
	case !f.super:
		return [2]float32{scale, scale}, offset
	case f.offsets:
		return [2]float32{scale * first, scale * first}, offset * last
	}
	return [2]float32{scale * first, scale * last}, 0
}

// put writes a block of row r of a group, whose codes are still 0.
func (f *form) put(group []byte, block, r int, b *rowBlock) {
	codes, scales := f.at(block)
	dst := group[codes:][:f.blockBytes()]
	switch f.bits {
	case 8:
		for at := 0; at < blockColumns; at += 4 {
			binary.LittleEndian.PutUint32(dst[at*GroupRows+4*r:], binary.LittleEndian.Uint32(b.codes[at:]))
		}
	default:
		extra := f.bits - 4
		for at := 0; at < blockColumns; at += 8 {
			c := binary.LittleEndian.Uint64(b.codes[at:])
			nibbles, top := c&lowFour, c>>4&lowFour
			binary.LittleEndian.PutUint32(dst[at/2*GroupRows+4*r:], uint32(nibbles)|uint32(nibbles>>32)<<4)
			if extra > 0 {
				vector, shift := at/4*extra/8, at/4*extra%8
				to := dst[(blockColumns/2+4*vector)*GroupRows+4*r:]
				bits := uint32(top)<<shift | uint32(top>>32)<<(shift+extra)
				binary.LittleEndian.PutUint32(to, binary.LittleEndian.Uint32(to)|bits)
			}
		}
	}
	binary.LittleEndian.PutUint16(group[scales+2*r:], b.scale)
	if f.offsets {
		binary.LittleEndian.PutUint16(group[scales+scaleBytes+2*r:], b.offset)
	}
	if f.super {
		steps := dst[f.codeBytes()+2*r:]
		steps[0], steps[1] = byte(b.steps[0]), byte(b.steps[1])
	}
}

// get reads what put wrote.
func (f *form) get(group []byte, block, r int, b *rowBlock) {
	codes, scales := f.at(block)
	src := group[codes:][:f.blockBytes()]
	for column := range b.codes {
		row := 4*r + column%4 // in 16 rows by 4 columns
		if f.bits == 8 {
			b.codes[column] = src[column/4*64+row]
			continue
		}
		b.codes[column] = src[column/8*64+row] >> (column / 4 % 2 * 4) & 15
		if extra := f.bits - 4; extra > 0 {
			bit := column / 4 * extra
			top := src[(4+bit/8)*64+row] >> (bit % 8) & (1<<extra - 1)
			b.codes[column] |= top << 4
		}
	}
	b.scale, b.offset = binary.LittleEndian.Uint16(group[scales+2*r:]), 0
	if f.offsets {
		b.offset = binary.LittleEndian.Uint16(group[scales+scaleBytes+2*r:])
	}
	if f.super {
		steps := src[f.codeBytes()+2*r:]
		b.steps = [2]int8{int8(steps[0]), int8(steps[1])}
	}
}
