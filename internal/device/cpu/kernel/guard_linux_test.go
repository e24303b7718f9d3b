package kernel

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guard is memory that ends at a page which cannot be touched, so that a read or
// write behind a slice is a fault.
type guard struct {
	once sync.Once
	data []byte
}

const guardBytes = 1 << 20

// bytes returns the last n bytes before the page, or other memory if n is more
// than there is (benchmarks ask for that).
func (g *guard) bytes(n int) []byte {
	if n > guardBytes {
		return make([]byte, n)
	}
	g.once.Do(func() {
		page := unix.Getpagesize()
		m, err := unix.Mmap(-1, 0, guardBytes+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		if err := unix.Mprotect(m[guardBytes:], unix.PROT_NONE); err != nil {
			panic(err)
		}
		g.data = m[:guardBytes:guardBytes]
	})
	return g.data[guardBytes-n:]
}

func (g *guard) floats(n int) []float32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&g.bytes(4 * n)[0])), n)
}
