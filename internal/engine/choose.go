package engine

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/device/cuda"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
)

// This file alone, of what computes forwards, knows which devices there are.

// DefaultDevice is Options.Device where that is "": the card if one is found that the
// model fits, else the CPU.
const DefaultDevice = "auto"

// Float8 is how rounding to 8 bits on a card is called beside model.QuantizeTo's names.
const Float8 = "fp8"

// choice is what Options.Device asks for.
type choice struct {
	card, cpu bool // which may compute, the card first
	number    int  // of the card
}

// ParseDevice returns an error for what is no device's name: auto, cpu, cuda or cuda:N.
func ParseDevice(name string) error {
	_, err := parseDevice(name)
	return err
}

func parseDevice(name string) (choice, error) {
	switch name {
	case "", DefaultDevice:
		return choice{card: true, cpu: true}, nil
	case "cpu":
		return choice{cpu: true}, nil
	case "cuda":
		return choice{card: true}, nil
	}
	if digits, ok := strings.CutPrefix(name, "cuda:"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return choice{card: true, number: int(n)}, nil
		}
	}
	return choice{}, fmt.Errorf("unknown device %q: use auto, cpu, cuda or cuda:N, the card of a number", name)
}

// FindCard says which card the options could use, or why there is none.
func (o Options) FindCard() (string, error) {
	c, err := parseDevice(o.Device)
	if err != nil {
		return "", err
	}
	return cuda.Look(c.number)
}

// choice returns which devices may compute what the options ask for. What only the CPU
// does leaves the CPU alone where the choice is the program's.
func (o Options) choice() (choice, error) {
	c, err := parseDevice(o.Device)
	if err != nil || !c.card || !c.cpu {
		return c, err
	}
	compute, err := ParseCompute(string(o.Compute))
	if err != nil {
		return c, err
	}
	if o.Kernels != "" || compute == Exact || o.KV != "" && o.KV != kvcache.F16.String() {
		c.card = false
	} else if _, err := cuda.Look(c.number); err != nil {
		c.card = false
	}
	return c, nil
}

// openDevice returns the device that the options ask for, and the options with its name
// in them. One with memory of its own has enough of it for the model.
func openDevice(w *model.Weights, o Options) (device.Device, Options, error) {
	c, err := o.choice()
	if err != nil {
		return nil, o, err
	}
	if c.card {
		o.Device = fmt.Sprintf("cuda:%d", c.number)
		dev, err := openCard(w, o, c.number)
		if err == nil || !c.cpu || o.Float8 {
			return dev, o, err
		}
	}
	if o.Float8 {
		_, err := cuda.Look(c.number)
		return nil, o, fmt.Errorf("weights are rounded to fp8 on a card only, in fast compute with keys and values in f16: %w", cmp.Or(err, errors.New("use --device cuda")))
	}
	o.Device = "cpu"
	dev, err := cpu.Open(o.Kernels, o.Threads)
	return dev, o, err
}

// openCard opens a card that the model and its keys and values fit.
func openCard(w *model.Weights, o Options, number int) (device.Device, error) {
	switch compute, err := ParseCompute(string(o.Compute)); {
	case err != nil:
		return nil, err
	case compute == Exact:
		return nil, fmt.Errorf("exact compute is the CPU's: a card multiplies in 16 bits; use --compute fast, or --device cpu")
	case o.Kernels != "":
		return nil, fmt.Errorf("kernels %s are the CPU's: leave them out, or use --device cpu", o.Kernels)
	}
	dev, err := cuda.Open(number, cuda.Options{F8: o.Float8, Head: w.Tensors[model.Head].Name})
	if err != nil {
		return nil, err
	}
	if err := o.fits(w, dev, dev.Free); err != nil {
		dev.Close()
		return nil, err
	}
	return dev, nil
}

// fits returns an error if the memory of a device does not hold the model.
func (o Options) fits(w *model.Weights, dev device.Device, free func() (int64, error)) error {
	m, err := o.memoryOn(dev, w, 0)
	if err != nil {
		return err
	}
	if m.KV, err = o.budget(w.Config); err != nil {
		return err
	}
	has, err := free()
	if err != nil {
		return err
	}
	for s, stored := range w.All() { // tables of rows are copied as they are stored
		if s.Role == model.Embedding || s.Role == model.PositionTable {
			m.Weights += int64(stored.Rows) * int64(stored.RowBytes())
		}
	}
	if need := m.Weights + m.KV + m.Work; need > has {
		bytes := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
		return fmt.Errorf("%w: %s has %s free, and the model takes %s: %s of weights, %s of keys and values, %s of buffers; use --device cpu, a smaller --kv-budget, or --quantize",
			device.ErrMemory, dev.Info().Name, bytes(has), bytes(need), bytes(m.Weights), bytes(m.KV), bytes(m.Work))
	}
	return nil
}

// preferredKV returns the format of keys and values in fast compute that the device of
// the options reads fastest.
func preferredKV(o Options, headDim int) (kvcache.Format, error) {
	c, err := o.choice()
	if err != nil || c.card {
		return kvcache.F16, err
	}
	return cpu.PreferredKV(o.Kernels, headDim)
}
