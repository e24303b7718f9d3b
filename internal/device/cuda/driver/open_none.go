//go:build !(cuda && linux && (amd64 || arm64))

package driver

import (
	"fmt"
	"runtime"
)

// Open returns no card: this program has no code for any.
func Open(int) (Driver, error) { return nil, none() }

// Look says why there is none.
func Look(int) (Info, error) { return Info{}, none() }

func none() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w is used on %s, only on Linux", ErrNone, runtime.GOOS)
	}
	return fmt.Errorf("%w is looked for: this program was built without the tag cuda (docs/cuda.md)", ErrNone)
}
