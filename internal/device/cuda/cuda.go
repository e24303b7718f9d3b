// Package cuda computes on an NVIDIA card. Weights are packed when they are loaded, and
// with them keys and values and all activations stay on the card; what comes back is what a
// buffer is asked to Read.
//
// A forward is recorded as a list of operations, planned (what can be one launch becomes
// one: a norm with the product behind it, a product with the sum behind it, the two products
// of a feed-forward with its activation), and where it repeats captured as a graph, which
// one call of the driver runs. All that differs between two forwards of the same sizes lies
// in one block of memory that the graph copies to the card first: tokens, angles, and
// the lists of keys that attention walks through.
package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
)

// Device is a card. Forwards of all workspaces take turns on one stream.
type Device struct {
	card    driver.Driver
	kernels *kernel.Set
	options Options

	mu     sync.Mutex // held while work is put on the stream
	stream driver.Stream
	failed error // of work that could not report it

	memory      *memory
	staging     *staging
	weightBytes atomic.Int64
	seed        atomic.Uint64 // of made-up weights
}

// Options say how weights are loaded.
type Options struct {
	// F8 rounds all matrices to 8 bits (e4m3) with a scale a row, but for the one of the name
	// Head, if there is any: logits suffer most.
	F8   bool
	Head string
}

// Look says in a line which card has the number, counted from 0. Where there is none,
// the error wraps driver.ErrNone and says why.
func Look(number int) (string, error) {
	info, err := driver.Look(number)
	if err != nil {
		return "", err
	}
	return describe(info), nil
}

func describe(i driver.Info) string {
	return fmt.Sprintf("%s, %.0f GiB, compute capability %d.%d, driver for CUDA %d.%d",
		i.Name, float64(i.Memory)/(1<<30), i.Major, i.Minor, i.Version/1000, i.Version%1000/10)
}

// Open returns the card of a number.
func Open(number int, o Options) (*Device, error) {
	card, err := driver.Open(number)
	if err != nil {
		return nil, err
	}
	d, err := New(card, o)
	if err != nil {
		card.Close()
	}
	return d, err
}

// New returns a device on a card, which it closes.
func New(card driver.Driver, o Options) (*Device, error) {
	d := &Device{card: card, options: o, memory: &memory{card: card, held: map[driver.Ptr]bool{}}, staging: newStaging(card)}
	var err error
	if d.kernels, err = kernel.Load(card); err != nil {
		return nil, err
	}
	if d.stream, err = card.NewStream(); err != nil {
		return nil, err
	}
	return d, nil
}

// rowsOf returns how many rows a forward has at most: products are the faster the more they are,
// up to some two thousand, and their buffers should be a few hundredths of the card's memory.
func rowsOf(i driver.Info) int { return min(2304, max(512, int(i.Memory>>24))) }

// Info says what the card is.
func (d *Device) Info() device.Info {
	i := d.card.Info()
	return device.Info{Name: i.Name, Kernels: fmt.Sprintf("cuda sm_%d%d", i.Major, i.Minor), Threads: runtime.GOMAXPROCS(0), Memory: i.Memory, Rows: rowsOf(i)}
}

// Free returns how many bytes of the card's memory nobody has taken.
func (d *Device) Free() (int64, error) {
	free, _, err := d.card.Memory()
	return free, explain(err)
}

// WeightBytes returns how many bytes of packed matrices forwards have read so far.
func (d *Device) WeightBytes() int64 { return d.weightBytes.Load() }

// Close gives the card back, with all that is on it.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stream.Sync()
	d.memory.close()
	d.stream.Close()
	d.card.Close()
}

// explain turns errors of the driver to those that the door knows.
func explain(err error) error {
	switch {
	case err == nil || errors.Is(err, device.ErrMemory) || errors.Is(err, device.ErrLost):
		return err
	case driver.IsOutOfMemory(err):
		return fmt.Errorf("%w: %w", device.ErrMemory, err)
	case driver.IsLost(err):
		return fmt.Errorf("%w: %w", device.ErrLost, err)
	}
	return err
}

// settle waits for all that was asked for.
func (d *Device) settle() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return explain(d.stream.Sync())
}

// memory keeps account of what a device has taken, so that it gives all of it back: other
// devices of this process may be on the same card.
type memory struct {
	card driver.Driver
	mu   sync.Mutex
	held map[driver.Ptr]bool
}

func (m *memory) take(bytes int64) (driver.Ptr, error) {
	p, err := m.card.Alloc(bytes)
	if err != nil {
		return 0, explain(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[p] = true
	return p, nil
}

func (m *memory) give(all ...driver.Ptr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range all {
		if m.held[p] {
			delete(m.held, p)
			m.card.Free(p)
		}
	}
}

func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.held {
		m.card.Free(p)
	}
	clear(m.held)
}

// zeros takes memory and clears it, behind what the stream has to do.
func (d *Device) zeros(bytes int64) (driver.Ptr, error) {
	p, err := d.memory.take(bytes)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stream.Zero(p, bytes); err != nil {
		d.memory.give(p)
		return 0, explain(err)
	}
	return p, nil
}
