// Package mapped reads files through memory that the system fills as it is read.
package mapped

import (
	"fmt"
	"os"

	"github.com/blevesearch/mmap-go"
)

// File is a file in read-only memory.
type File struct {
	// Data is the whole file; it must not be written, nor used after Close.
	Data []byte

	mapping mmap.MMap // nil: the file is empty, which no system maps
}

// Open maps the regular file at path.
func Open(path string) (*File, error) {
	h, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer h.Close() // the map outlives the handle
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() == 0 {
		return &File{}, nil
	}
	m, err := mmap.Map(h, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot map it into memory: %w", path, err)
	}
	return &File{Data: m, mapping: m}, nil
}

// Close gives the memory back.
func (f *File) Close() error {
	if f.mapping == nil {
		return nil
	}
	f.Data = nil
	return f.mapping.Unmap()
}
