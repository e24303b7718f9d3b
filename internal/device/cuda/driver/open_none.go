//go:build !(cuda && linux && (amd64 || arm64))

package driver

import (
	"fmt"
	"runtime"
)

// Open returns no card: this program has no code for any.
func Open(int) (Driver, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("%w is used on %s; on Linux a program built with the tag cuda does", ErrNone, runtime.GOOS)
	}
	return nil, fmt.Errorf("%w is looked for: this program was built without the tag cuda (docs/cuda.md)", ErrNone)
}
