// Package driver is what the device needs of a card: memory, code, and an order of work.
// Open returns NVIDIA's, called without cgo, in programs that are built with the tag
// cuda; package fake has one in the host's memory, for tests.
package driver

// Ptr is an address in a card's memory; 0 is none.
type Ptr uint64

// Info says what a card is.
type Info struct {
	Name            string
	Major, Minor    int   // compute capability
	Multiprocessors int   // that share the blocks of a launch
	Shared          int   // bytes of shared memory that one block may have
	L2              int   // bytes of the cache in front of the memory
	Memory          int64 // bytes
	Version         int   // of the driver's interface, 12040 is 12.4
}

// Driver is one card. Its methods are safe for concurrent use; what one caller does
// on a stream is in order, and nothing else is.
type Driver interface {
	// Info says what the card is.
	Info() Info
	// Memory returns how many bytes nobody has taken, and how many there are.
	Memory() (free, total int64, err error)
	// Alloc takes memory, aligned to 256 bytes.
	Alloc(bytes int64) (Ptr, error)
	// Free gives back what Alloc took; 0 is nothing.
	Free(p Ptr) error
	// Pinned takes memory of the host that streams copy from and to.
	Pinned(bytes int) ([]byte, error)
	// Unpin gives back what Pinned took.
	Unpin(memory []byte) error
	// Write copies any memory of the host to the card, and returns when it is there.
	Write(to Ptr, from []byte) error
	// Read copies from the card; what streams still have to do is not waited for.
	Read(to []byte, from Ptr) error
	// Map describes an array to kernels that copy pieces of it.
	Map(a Array) (TensorMap, error)
	// Load loads code: a cubin, or PTX that ends with a zero.
	Load(image []byte) (Module, error)
	// NewStream returns an order of work of its own.
	NewStream() (Stream, error)
	// NewEvent returns a mark in a stream.
	NewEvent() (Event, error)
	// Close ends the use of the card. What it gave out is gone.
	Close() error
}

// Array is up to three dimensions of numbers in a card's memory, of which pieces of one size are
// copied to shared memory; what lies behind the end comes as zeros. The first dimension is
// the one whose numbers lie beside each other.
type Array struct {
	At      Ptr
	Bytes   int // of a number: 2 or 4
	Size    []int
	Strides []int // bytes from one to the next, of all dimensions but the first
	Piece   []int // at most 256 each
	// Swizzled changes the places of 16 bytes within each 128 of a piece as products want it.
	Swizzled bool
}

// TensorMap is an array as the card's copy engine knows it.
type TensorMap [128]byte

// Module is loaded code.
type Module interface {
	// Function returns a kernel of that name.
	Function(name string) (Function, error)
}

// Function is a kernel. It takes one struct by value.
type Function interface {
	// Name returns its name in the code.
	Name() string
	// AllowShared lets launches ask for so many bytes of shared memory, where that is
	// more than the 48 KB that need no asking.
	AllowShared(bytes int) error
}

// Shape is how a kernel is launched.
type Shape struct {
	Grid   [3]uint32 // blocks
	Block  uint32    // threads of a block
	Shared uint32    // bytes of shared memory besides what the code declares
	// Early lets the kernel begin before the one in front of it in the stream has ended:
	// it waits by itself (griddepcontrol.wait) before it reads what that one writes.
	Early bool
}

// Stream is an order of work on a card. All but Sync return before the work is done.
type Stream interface {
	// Launch runs a kernel; params points to the struct that it takes, which is copied.
	Launch(f Function, s Shape, params any) error
	// Upload copies pinned memory to the card.
	Upload(to Ptr, from []byte) error
	// Download copies from the card to pinned memory.
	Download(to []byte, from Ptr) error
	// Copy copies within the card.
	Copy(to, from Ptr, bytes int64) error
	// Zero clears memory.
	Zero(at Ptr, bytes int64) error
	// Record marks where the stream stands.
	Record(e Event) error
	// Wait holds what follows back until an event of another stream has come.
	Wait(e Event) error
	// Capture records what do asks of the stream, which is not done, as a graph.
	Capture(do func() error) (Graph, error)
	// Run does what a graph has recorded.
	Run(g Graph) error
	// Sync returns when all is done, with the first error of it.
	Sync() error
	// Handle returns the stream as libraries beside the driver know it.
	Handle() uintptr
	// Close ends the stream.
	Close() error
}

// Event is a mark in a stream.
type Event interface {
	// Sync returns when all in front of the mark is done.
	Sync() error
	// Since returns the milliseconds from an earlier mark to this one; both must have come.
	Since(earlier Event) (float32, error)
	// Close ends the event.
	Close() error
}

// Graph is recorded work.
type Graph interface {
	// Nodes returns how many pieces of work it has.
	Nodes() int
	// Close gives it back.
	Close() error
}
