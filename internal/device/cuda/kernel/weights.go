package kernel

import "github.com/flashback-lm/flashback/internal/device/cuda/driver"

// Format is how weights lie on the card.
type Format int32

// The formats of packed weights [rows, cols]. All are tiles of 8 rows one behind the
// other, rows and columns filled up with zeros to multiples of 8 and of 64. A tile is
// units of 64 columns:
//
//   - F16, BF16: 8 rows of 128 bytes, in which columns 8j … 8j+7 of row r are the r xor j'th
//     16 bytes: 1024 bytes.
//   - F8: 512 bytes of e4m3 in the order of a lane's share of four products, and one f32
//     scale a row in a vector of its own.
//   - Q8: the same order with codes + 128, then [8 rows][2] f16 scales of 32 columns: 544 bytes.
//   - Q6: codes as in Q8, then [8 rows][4] f16 scales of 16 columns: 576 bytes.
//   - Q4: 256 bytes of codes, then [8 rows][2] pairs (scale, minimum) in f16: 320 bytes.
//     A weight is scale·code - minimum, rounded once.
//
// A weight of Q8 and Q6 is scale·code in f16, rounded once; products see f16 of all but BF16.
const (
	F16 Format = iota
	BF16
	F8
	Q8
	Q6
	Q4
	formats
)

// unitBytes is how much 8 rows of 64 columns take.
var unitBytes = [formats]int64{F16: 1024, BF16: 1024, F8: 512, Q8: 544, Q6: 576, Q4: 320}

// Bytes returns how much packed weights take, without the scales of F8.
func (f Format) Bytes(rows, cols int) int64 {
	return int64(ceil(rows, 8)) * int64(ceil(cols, padding)) * unitBytes[f]
}

// Half reports which activations a product with such weights takes: f16, or bf16.
func (f Format) Half() Half {
	if f == BF16 {
		return HalfBF16
	}
	return HalfF16
}

// Half is the 16-bit type of activations.
type Half int32

// The types of activations.
const (
	HalfF16 Half = iota
	HalfBF16
)

// Stored is how weights are stored in files.
type Stored int32

// What Pack reads. Other types come as StoredF32, made by the host.
const (
	StoredF32 Stored = iota
	StoredF16
	StoredBF16
	StoredQ8_0
	StoredQ4_0
	StoredQ4_1
	StoredQ4K
	StoredQ6K
)

// Fits returns the packed format in which stored weights keep what they say: Q8 for Q8_0,
// Q4 for Q4_0, Q4_1 and Q4_K, Q6 for Q6_K, and F16 for F32 and F16.
func (s Stored) Fits() Format {
	return [...]Format{F16, F16, BF16, Q8, Q4, Q4, Q4, Q6}[s]
}

// Pack packs rows of stored weights, as they were copied to the card. Any stored type can
// be packed as F16, BF16 or F8; Q8, Q6 and Q4 only as Stored.Fits says.
type Pack struct {
	From   driver.Ptr // rows First … First+Rows-1 as stored, [Rows, Cols]
	To     driver.Ptr // the whole packed matrix
	Scale  driver.Ptr // F8: f32 [all rows, to a multiple of 8], written too
	First  int32      // a multiple of 8
	Rows   int32      // of these; where they end the matrix, the tile is filled up
	Cols   int32
	Stored Stored
	Format Format
	_      int32
}

// Pack launches it.
func (s *Set) Pack(stream driver.Stream, p *Pack) error {
	if p.Format == F8 {
		// A block finds the greatest of a row, then packs it.
		return s.launch(stream, "pack_f8", [3]int{ceil(int(p.Rows), 8) * 8, 1, 1}, 256, 0, false, p)
	}
	units := ceil(int(p.Rows), 8) * ceil(int(p.Cols), padding)
	return s.launch(stream, "pack", [3]int{ceil(units, 8), 1, 1}, 256, 0, false, p)
}

// Expand makes F16 of packed Q8, Q6, Q4 or F8 weights (without the scales of F8), for
// products of many rows.
type Expand struct {
	From, To driver.Ptr
	Rows     int32
	Cols     int32
	Format   Format
	_        int32
}

// Expand launches it.
func (s *Set) Expand(stream driver.Stream, p *Expand, early bool) error {
	units := ceil(int(p.Rows), 8) * ceil(int(p.Cols), padding)
	return s.launch(stream, "expand", [3]int{ceil(units, 8), 1, 1}, 256, 0, early, p)
}
