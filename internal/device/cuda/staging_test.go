package cuda

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel/plain"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// onPlainCard returns a device on a fake card, until the test's end.
func onPlainCard(t *testing.T) (*fake.Card, *Device) {
	t.Helper()
	card := plain.New(1 << 30)
	d, err := New(card, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return card, d
}

// TestStaging: tables that are loaded side by side, in more than one chunk each, arrive as
// they are, and the memory in between is given back.
func TestStaging(t *testing.T) {
	card, d := onPlainCard(t)
	before := card.Used()
	const cols = 4096
	random := rand.NewChaCha8([32]byte{})
	stored := make([]tensor.Matrix, 2*stagingLanes)
	for i := range stored {
		stored[i] = tensor.Matrix{Name: "table", Type: tensor.F16, Rows: 1000 + 300*i, Cols: cols}
		stored[i].Data = make([]byte, stored[i].Rows*2*cols)
		random.Read(stored[i].Data)
	}
	loaded := make([]device.Table, len(stored))
	var all sync.WaitGroup
	for i, m := range stored {
		all.Go(func() {
			var err error
			if loaded[i], err = d.LoadTable(m); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, m := range stored {
		if got := card.Bytes(loaded[i].(*table).at, len(m.Data)); !bytes.Equal(got, m.Data) {
			t.Errorf("a table of %d rows arrived as another", m.Rows)
		}
		before += int64(len(m.Data))
	}
	if used := card.Used(); used != before {
		t.Errorf("%d bytes are used, the tables and what was there before take %d", used, before)
	}
}

// TestStagingFails: what fails is reported, and the next load does not miss it.
func TestStagingFails(t *testing.T) {
	card, d := onPlainCard(t)
	m := tensor.Matrix{Name: "table", Type: tensor.F16, Rows: 3, Cols: 64, Data: make([]byte, 3*2*64)}
	for _, call := range []string{"cuMemHostAlloc", "cuEventCreate", "cuStreamCreate", "cuMemcpyHtoDAsync"} {
		before := card.Used()
		card.Fail = func(c string) error {
			if c == call {
				return driver.OutOfMemory(c)
			}
			return nil
		}
		if _, err := d.LoadTable(m); !errors.Is(err, device.ErrMemory) {
			t.Errorf("%s fails: %v", call, err)
		}
		card.Fail = nil
		if left := card.Used() - before; left != int64(len(m.Data)) { // the table goes with the device
			t.Errorf("%s fails: %d bytes are left", call, left)
		}
		if _, err := d.LoadTable(m); err != nil {
			t.Errorf("after %s failed: %v", call, err)
		}
	}
}
