package trainset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// A file is a preamble, the header as a block, each window as a block, the offsets
// of the windows' blocks as a block of uint64s, and the offset of that. A block is
// its length and its CRC-32C, each a uint32, and its bytes; a window's are
// compressed with zstd. All numbers are little-endian.

const (
	magic      = "FlashBack examples\n"
	blockHead  = 8
	maxHeader  = 1 << 20
	maxBlock   = 64 << 20 // a record, compressed or not
	maxOffsets = 1 << 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Set is an open file of examples. It is safe for concurrent use.
type Set struct {
	path    string
	file    *os.File
	header  Header
	offsets []uint64
	zstd    *zstd.Decoder
}

// Open opens a file of examples and checks its header and its offsets; a window is
// checked when it is read.
func Open(path string) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Set{path: path, file: f}
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *Set) open() error {
	var start int64
	var err error
	if s.header, start, err = readHeader(s.file); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	var end [8]byte
	if info.Size() < start+int64(len(end)) {
		return errDamaged("it has no window")
	}
	if _, err := s.file.ReadAt(end[:], info.Size()-int64(len(end))); err != nil {
		return err
	}
	at := binary.LittleEndian.Uint64(end[:])
	want := uint64(s.header.Windows) * 8
	if want > maxOffsets || at < uint64(start) || at != uint64(info.Size())-uint64(len(end))-want-blockHead {
		return errDamaged("its end does not say where its %d windows are", s.header.Windows)
	}
	raw, err := readBlock(s.file, int64(at), maxOffsets)
	if err != nil {
		return errDamaged("the offsets of its windows: %v", err)
	}
	if uint64(len(raw)) != want {
		return errDamaged("%d bytes of offsets, want %d", len(raw), want)
	}
	s.offsets = make([]uint64, s.header.Windows)
	before := uint64(start)
	for i := range s.offsets {
		s.offsets[i] = binary.LittleEndian.Uint64(raw[8*i:])
		if s.offsets[i] < before || s.offsets[i] >= at {
			return errDamaged("window %d is said to be at %d", i, s.offsets[i])
		}
		before = s.offsets[i] + blockHead
	}
	s.zstd, err = newDecoder()
	return err
}

// Header returns what the windows are of.
func (s *Set) Header() Header { return s.header }

// Len returns the number of windows.
func (s *Set) Len() int { return len(s.offsets) }

// Window reads window i, counted from 0.
func (s *Set) Window(i int) (Window, error) {
	if i < 0 || i >= len(s.offsets) {
		return Window{}, fmt.Errorf("%s: there is no window %d, only %d", s.path, i, len(s.offsets))
	}
	block, err := readBlock(s.file, int64(s.offsets[i]), maxBlock)
	var w Window
	if err == nil {
		w, err = s.header.unpack(s.zstd, block)
	}
	if err != nil {
		return Window{}, fmt.Errorf("%s: window %d: %w", s.path, i, errDamaged("%v", err))
	}
	return w, nil
}

// Close closes the file.
func (s *Set) Close() error {
	if s.zstd != nil {
		s.zstd.Close()
	}
	return s.file.Close()
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderConcurrency(0))
}

// unpack reads the block of a window.
func (h Header) unpack(z *zstd.Decoder, block []byte) (Window, error) {
	record, err := z.DecodeAll(block, nil)
	if err != nil {
		return Window{}, err
	}
	w, err := decodeWindow(record)
	if err == nil {
		err = h.checkWindow(w)
	}
	return w, err
}

// errDamaged says what is wrong with a file and what to do.
func errDamaged(format string, args ...any) error {
	return fmt.Errorf("damaged: %s; prepare the examples again", fmt.Sprintf(format, args...))
}

// readHeader reads the preamble and the header, and returns where the windows begin.
func readHeader(r io.ReaderAt) (Header, int64, error) {
	var h Header
	preamble := make([]byte, len(magic))
	if _, err := r.ReadAt(preamble, 0); err != nil && !errors.Is(err, io.EOF) {
		return h, 0, err
	}
	if string(preamble) != magic {
		return h, 0, errors.New("not a file of examples; 'flashback prepare' makes one")
	}
	raw, err := readBlock(r, int64(len(magic)), maxHeader)
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err != nil {
		return h, 0, errDamaged("the header: %v", err)
	}
	if err := h.check(); err != nil {
		return h, 0, fmt.Errorf("the header: %w", err)
	}
	return h, int64(len(magic)+blockHead) + int64(len(raw)), nil
}

// appendBlock puts head and bytes of a block behind b.
func appendBlock(b, block []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(block)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(block, castagnoli))
	return append(b, block...)
}

// readBlock reads the block at an offset. A block that the file has no bytes for
// costs no more memory than the file is long, in doubling steps.
func readBlock(r io.ReaderAt, at int64, most uint32) ([]byte, error) {
	var head [blockHead]byte
	if _, err := r.ReadAt(head[:], at); err != nil {
		return nil, short(err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > most {
		return nil, fmt.Errorf("a block of %d bytes", n)
	}
	block, err := io.ReadAll(io.NewSectionReader(r, at+blockHead, int64(n)))
	if err != nil {
		return nil, err
	}
	if uint32(len(block)) < n {
		return nil, errShort
	}
	if crc32.Checksum(block, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errors.New("its checksum is wrong")
	}
	return block, nil
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}
