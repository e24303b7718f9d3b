//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package terminal

import (
	"errors"
	"os"
)

// Unbuffered is for Unix only.
func Unbuffered(*os.File) (restore func() error, err error) { return nil, errors.ErrUnsupported }
