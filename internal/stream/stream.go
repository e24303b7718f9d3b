// Package stream reads what may be long in coming: a pipe, a terminal. Reading
// ends at once when its context does, though the system's own call cannot be
// broken off.
package stream

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// reader hands on what a goroutine reads.
type reader struct {
	ctx    context.Context
	start  func() // starts the goroutine at the first read
	pieces chan piece
	closed chan struct{}
	close  func()
	rest   piece
}

type piece struct {
	data []byte
	err  error
}

// Reader returns a reader of r whose reads end with the context's error once it is
// done. A read of r that is under way then is left behind; Close leaves one behind
// too, and closes nothing.
func Reader(ctx context.Context, r io.Reader) io.ReadCloser {
	return newReader(ctx, func() (io.ReadCloser, error) { return io.NopCloser(r), nil })
}

// Open opens a file. Opening and reading one that is not regular, such as a named
// pipe that nobody writes to, end with the context.
func Open(ctx context.Context, path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return os.Open(path)
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	return newReader(ctx, func() (io.ReadCloser, error) { return os.Open(path) }), nil
}

func newReader(ctx context.Context, open func() (io.ReadCloser, error)) *reader {
	r := &reader{ctx: ctx, pieces: make(chan piece), closed: make(chan struct{})}
	r.start = sync.OnceFunc(func() { go r.pump(open) })
	r.close = sync.OnceFunc(func() { close(r.closed) })
	return r
}

// pump sends what there is to read, with an error at the end.
func (r *reader) pump(open func() (io.ReadCloser, error)) {
	in, err := open()
	if err == nil {
		defer in.Close()
	}
	for {
		var p piece
		if err == nil {
			buffer := make([]byte, 1<<16)
			var n int
			n, err = in.Read(buffer)
			p.data = buffer[:n]
		}
		p.err = err
		select {
		case r.pieces <- p:
		case <-r.closed:
			return
		case <-r.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest.data) == 0 {
		if r.rest.err != nil {
			return 0, r.rest.err
		}
		r.start()
		select {
		case r.rest = <-r.pieces:
		case <-r.closed:
			return 0, fs.ErrClosed
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(p, r.rest.data)
	r.rest.data = r.rest.data[n:]
	return n, nil
}

// Close ends reading.
func (r *reader) Close() error {
	r.close()
	return nil
}
