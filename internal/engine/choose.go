package engine

import (
	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// This file alone, of what computes forwards, knows which devices there are.

// openDevice returns the device that the options ask for.
func openDevice(o Options) (device.Device, error) { return cpu.Open(o.Kernels, o.Threads) }

// preferredKV returns the format of keys and values in fast compute that the device of
// the options reads fastest.
func preferredKV(o Options, headDim int) (kvcache.Format, error) {
	return cpu.PreferredKV(o.Kernels, headDim)
}
