package kernel

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// imageFor returns the code for a card: a cubin of its own capability, or of an earlier one
// of the same major number, else PTX, which the driver compiles.
func imageFor(card driver.Info) ([]byte, error) {
	name := "compute_80.ptx"
	switch {
	case card.Major < 8:
		return nil, fmt.Errorf("%s has compute capability %d.%d: the kernels need 8.0 or later", card.Name, card.Major, card.Minor)
	case card.Major == 8 && card.Minor < 9:
		name = "sm_80.cubin"
	case card.Major == 8:
		name = "sm_89.cubin"
	case card.Major == 9:
		name = "sm_90a.cubin"
	}
	return image(name)
}
