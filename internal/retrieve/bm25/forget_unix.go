//go:build unix

package bm25

import "golang.org/x/sys/unix"

// forget gives the resident pages of a file's mapping back; they are read again
// when they are next needed. It is advice, so an error does not matter.
func forget(mapping []byte) { _ = unix.Madvise(mapping, unix.MADV_DONTNEED) }
