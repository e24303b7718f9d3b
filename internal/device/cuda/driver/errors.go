package driver

import (
	"errors"
	"fmt"
)

// ErrNone says that this machine or this program has no card to compute with; the error
// that wraps it says why.
var ErrNone = errors.New("no NVIDIA card")

// oldest is the version of the driver's interface that is asked for: programmatic
// launches, which kernels are written for, came with 12.3.
const oldest = 12030

// Error is what a call of the driver returned.
type Error struct {
	Call string // such as cuMemAlloc
	Code int    // CUresult
	Text string // what the driver says of the code
}

// Error says which call failed and how.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s (CUDA error %d)", e.Call, e.Text, e.Code) }

// outOfMemory is a code of CUresult.
const outOfMemory = 2

// OutOfMemory returns the error of a call that found too little memory.
func OutOfMemory(call string) *Error {
	return &Error{Call: call, Code: outOfMemory, Text: "out of memory"}
}

// Lost returns the error of a call after a kernel did what it must not: nothing on the
// card can be used any more.
func Lost(call string) *Error {
	return &Error{Call: call, Code: 700, Text: "an illegal memory access was encountered"}
}

// IsOutOfMemory reports whether an error says that the card has too little memory.
func IsOutOfMemory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == outOfMemory
}

// IsLost reports whether an error says that the card's context is gone: every later call
// fails, and only a new process or a new context can go on.
func IsLost(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case 4, 46, 201, 214, 219, 700, 702, 709, 710, 713, 714, 715, 716, 717, 718, 719, 999:
		return true
	}
	return false
}

// checkVersion returns an error for a driver that is too old.
func checkVersion(version int) error {
	if version < oldest {
		return fmt.Errorf("%w that can be used: its driver speaks CUDA %d.%d, and %d.%d is the oldest that will do; update the driver", ErrNone,
			version/1000, version%1000/10, oldest/1000, oldest%1000/10)
	}
	return nil
}
