package corpus

import (
	"bufio"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Decompress opens r by the extension of name and returns name without it.
func Decompress(r io.Reader, name string) (io.ReadCloser, string, error) {
	ext := path.Ext(name)
	switch strings.ToLower(ext) {
	case ".gz":
		z, err := gzip.NewReader(r)
		return z, strings.TrimSuffix(name, ext), err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, "", err
		}
		return z.IOReadCloser(), strings.TrimSuffix(name, ext), nil
	}
	return io.NopCloser(r), name, nil
}

// peekText returns a reader of all of r and its first byte that is no blank, or
// zero if the first 4096 bytes are blank.
func peekText(r io.Reader) (io.Reader, byte, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(4096)
	if err != nil && err != io.EOF {
		return nil, 0, err
	}
	text := strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n")
	if text == "" {
		return br, 0, nil
	}
	return br, text[0], nil
}
