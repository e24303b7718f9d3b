package bm25

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"os"
)

// blockWriter writes a block file under a temporary name.
type blockWriter struct {
	path string
	f    *os.File
	w    *bufio.Writer
	n    int64 // bytes of data so far
	crc  uint32
	sums []byte
}

func createBlockFile(path string) (*blockWriter, error) {
	f, err := os.Create(path + tempSuffix)
	if err != nil {
		return nil, err
	}
	return &blockWriter{path: path, f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

// Write appends data.
func (b *blockWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		part := p[:min(len(p), blockSize-int(b.n%blockSize))]
		if _, err := b.w.Write(part); err != nil {
			return 0, err
		}
		b.crc = crc32.Update(b.crc, castagnoli, part)
		b.n += int64(len(part))
		p = p[len(part):]
		if b.n%blockSize == 0 {
			b.endBlock()
		}
	}
	return total, nil
}

func (b *blockWriter) endBlock() {
	b.sums = binary.LittleEndian.AppendUint32(b.sums, b.crc)
	b.crc = 0
}

// finish writes table and footer, syncs the file and gives it its name.
func (b *blockWriter) finish() (fileSum, error) {
	if b.n%blockSize != 0 {
		b.endBlock()
	}
	tail := b.sums
	tail = binary.LittleEndian.AppendUint64(tail, uint64(b.n))
	tail = binary.LittleEndian.AppendUint32(tail, blockSize)
	tail = binary.LittleEndian.AppendUint32(tail, blockMagic)
	_, err := b.w.Write(tail)
	if err == nil {
		err = b.w.Flush()
	}
	if err == nil {
		err = b.f.Sync()
	}
	if closeErr := b.f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(b.path+tempSuffix, b.path)
	}
	if err != nil {
		os.Remove(b.path + tempSuffix)
		return fileSum{}, err
	}
	return fileSum{Size: b.n + int64(len(tail)), Sum: crc32.Checksum(tail, castagnoli)}, nil
}

// abandon drops a file that will not be finished.
func (b *blockWriter) abandon() {
	b.f.Close()
	os.Remove(b.path + tempSuffix)
}
