package trainset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// partial is the end of the name of a file that is being written.
const partial = ".partial"

// Writer writes a file of examples window by window. What it has written stands
// beside the file until Commit, and the next Writer with the same header goes on
// from there.
type Writer struct {
	path    string
	file    *os.File
	header  Header
	offsets []uint64
	at      int64 // where the next block goes
	zstd    *zstd.Encoder
}

// NewWriter begins to write path, or goes on with what an earlier writer with the
// same header left. Windows that were not written whole are dropped.
func NewWriter(path string, h Header) (*Writer, error) {
	h.Format = Format
	if err := h.check(); err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, header: h, zstd: z}
	name := path + partial
	if w.file, err = os.OpenFile(name, os.O_RDWR, 0); errors.Is(err, fs.ErrNotExist) {
		return w, w.begin(name)
	} else if err != nil {
		return nil, err
	}
	left, start, err := readHeader(w.file)
	if err != nil {
		w.Close()
		return w, w.begin(name) // it ended before its header did
	}
	if left != h {
		w.Close()
		return nil, fmt.Errorf("%s was left by another run, of other documents, index or options: repeat that one, or remove the file", name)
	}
	w.at = start
	return w, w.recover()
}

// begin makes the file anew.
func (w *Writer) begin(name string) error {
	header, err := json.Marshal(w.header)
	if err != nil {
		return err
	}
	if w.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		return err
	}
	return w.write(appendBlock([]byte(magic), header))
}

// recover counts the windows that are whole and cuts the rest off.
func (w *Writer) recover() error {
	z, err := newDecoder()
	if err != nil {
		return err
	}
	defer z.Close()
	for len(w.offsets) < w.header.Windows {
		block, err := readBlock(w.file, w.at, maxBlock)
		if err == nil {
			_, err = w.header.unpack(z, block)
		}
		if err != nil {
			break
		}
		w.offsets = append(w.offsets, uint64(w.at))
		w.at += int64(blockHead + len(block))
	}
	return w.file.Truncate(w.at)
}

// Len returns the number of windows that are written.
func (w *Writer) Len() int { return len(w.offsets) }

// Add writes the next window.
func (w *Writer) Add(window Window) error {
	if err := w.header.checkWindow(window); err != nil {
		return fmt.Errorf("window %d of document %q: %w", len(w.offsets), window.Document, err)
	}
	if len(w.offsets) == w.header.Windows {
		return fmt.Errorf("%s has its %d windows", w.path, w.header.Windows)
	}
	at := w.at
	block := w.zstd.EncodeAll(appendWindow(nil, window), nil)
	if err := w.write(appendBlock(nil, block)); err != nil {
		return err
	}
	w.offsets = append(w.offsets, uint64(at))
	return nil
}

func (w *Writer) write(b []byte) error {
	_, err := w.file.WriteAt(b, w.at)
	w.at += int64(len(b))
	return err
}

// Commit completes the file and puts it at its path.
func (w *Writer) Commit() error {
	if len(w.offsets) != w.header.Windows {
		return fmt.Errorf("%s has %d of %d windows", w.path, len(w.offsets), w.header.Windows)
	}
	var offsets []byte
	for _, at := range w.offsets {
		offsets = binary.LittleEndian.AppendUint64(offsets, at)
	}
	end := appendBlock(nil, offsets)
	if err := w.write(binary.LittleEndian.AppendUint64(end, uint64(w.at))); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return atomicfile.Rename(w.path+partial, w.path)
}

// Close closes the file. Without a Commit what was written stays for a Writer that
// goes on.
func (w *Writer) Close() error {
	err := w.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
