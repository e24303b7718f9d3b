package bm25

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/flashback-lm/flashback/internal/mapped"
)

// A block file is data, then the CRC-32C of every block of it, then a footer.
// The manifest holds the checksum of table and footer, so an opened file is
// known to be the one that the manifest means; each block is checked when it is
// first read.
//
//	data | 4 bytes a block | data length (8) | block size (4) | magic (4)
const (
	blockSize   = 4096
	footerSize  = 16
	blockMagic  = 0x4b425346 // "FSBK"
	maxFileSize = 1 << 40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fileSum is what the manifest says of a file.
type fileSum struct {
	Size int64  `json:"size"`   // bytes, with table and footer
	Sum  uint32 `json:"crc32c"` // of table and footer
}

// blockFile is an open block file, mapped into memory.
type blockFile struct {
	path    string
	mapping *mapped.File
	data    []byte
	sums    []byte
	checked []atomic.Uint64 // a bit a block that was found good
}

// openBlockFile maps a file and checks that it is the one that want describes.
func openBlockFile(path string, want fileSum) (*blockFile, error) {
	f, err := mapped.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damagedf(path, "the file is missing")
	} else if err != nil {
		return nil, err
	}
	m := f.Data
	if n := int64(len(m)); n != want.Size || n < footerSize || n > maxFileSize {
		f.Close()
		return nil, damagedf(path, "%d bytes, not %d", n, want.Size)
	}
	b := &blockFile{path: path, mapping: f}
	foot := m[len(m)-footerSize:]
	n := binary.LittleEndian.Uint64(foot)
	blocks := (n + blockSize - 1) / blockSize
	switch {
	case binary.LittleEndian.Uint32(foot[12:]) != blockMagic, binary.LittleEndian.Uint32(foot[8:]) != blockSize,
		n > uint64(len(m)), n+4*blocks+footerSize != uint64(len(m)):
		err = damagedf(path, "its footer is broken")
	case crc32.Checksum(m[n:], castagnoli) != want.Sum:
		err = damagedf(path, "the checksum of its block table differs from the manifest's")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	b.data, b.sums = m[:n:n], m[n:len(m)-footerSize]
	b.checked = make([]atomic.Uint64, (blocks+63)/64)
	return b, nil
}

// bytes returns data[off : off+n] after checking the blocks that hold it.
func (b *blockFile) bytes(off, n uint64) ([]byte, error) {
	if off > uint64(len(b.data)) || n > uint64(len(b.data))-off {
		return nil, damagedf(b.path, "bytes %d to %d are asked for, it has %d", off, off+n, len(b.data))
	}
	if n == 0 {
		return nil, nil
	}
	first, last := off/blockSize, (off+n-1)/blockSize
	for i := first; i <= last; i++ {
		seen := b.checked[i/64].Load()
		if i%64 == 0 && seen == ^uint64(0) {
			i += 63
			continue
		}
		if seen&(1<<(i%64)) == 0 {
			if err := b.check(i); err != nil {
				return nil, err
			}
		}
	}
	return b.data[off : off+n : off+n], nil
}

// check compares one block with its checksum.
func (b *blockFile) check(i uint64) error {
	block := b.data[i*blockSize : min((i+1)*blockSize, uint64(len(b.data)))]
	if crc32.Checksum(block, castagnoli) != binary.LittleEndian.Uint32(b.sums[4*i:]) {
		return damagedf(b.path, "the checksum of bytes %d to %d is wrong", i*blockSize, i*blockSize+uint64(len(block)))
	}
	b.checked[i/64].Or(1 << (i % 64))
	return nil
}

// all returns the whole data, checked.
func (b *blockFile) all() ([]byte, error) { return b.bytes(0, uint64(len(b.data))) }

func (b *blockFile) close() error { return b.mapping.Close() }

// ErrDamaged is what every error about a file's content wraps.
var ErrDamaged = errors.New("the index is damaged; index again")

func damagedf(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", filepath.Base(path), fmt.Sprintf(format, args...), ErrDamaged)
}
