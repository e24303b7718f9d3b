package cuda

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// storage is the memory of a pool's pages, taken at once: a page that is there is never
// refused. A page holds its layers one behind the other, as kernel.KV says.
type storage struct {
	d          *Device
	shape      kvcache.Shape
	pages      int
	at         driver.Ptr
	layerBytes int64
}

// NewKV takes memory for all pages.
func (d *Device) NewKV(shape kvcache.Shape, pages int) (kvcache.Storage, error) {
	if shape.Format != kvcache.F16 {
		return nil, fmt.Errorf("keys and values in %v: a card computes with f16; leave --kv out, or use --device cpu", shape.Format)
	}
	kv := &storage{d: d, shape: shape, pages: pages, layerBytes: kernel.PageBytes(shape.KVHeads, shape.HeadDim)}
	var err error
	if kv.at, err = d.zeros(int64(pages) * kv.pageBytes()); err != nil {
		return nil, fmt.Errorf("keys and values of %d tokens: %w", pages*kvcache.PageTokens, err)
	}
	return kv, nil
}

func (kv *storage) pageBytes() int64 { return int64(kv.shape.Layers) * kv.layerBytes }

// layer returns where the keys and values of a layer are.
func (kv *storage) layer(n int) kernel.KV {
	return kernel.KV{Base: kv.at + driver.Ptr(int64(n)*kv.layerBytes), PageStride: uint64(kv.pageBytes())}
}

// Shape returns the size and the format of one token's keys and values.
func (kv *storage) Shape() kvcache.Shape { return kv.shape }

// Pages returns how many pages there are.
func (kv *storage) Pages() int { return kv.pages }

// Allocate does nothing: the memory is there.
func (kv *storage) Allocate(int) {}

// Copy copies a page, behind the forwards that have been asked for. An error is the next
// forward's.
func (kv *storage) Copy(to, from int) {
	d := kv.d
	d.mu.Lock()
	defer d.mu.Unlock()
	n := kv.pageBytes()
	if err := d.stream.Copy(kv.at+driver.Ptr(int64(to)*n), kv.at+driver.Ptr(int64(from)*n), n); err != nil && d.failed == nil {
		d.failed = err
	}
}
