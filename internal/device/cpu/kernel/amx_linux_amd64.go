package kernel

import (
	"sync"

	"golang.org/x/sys/unix"
)

// allowAMX asks Linux, once, to let this process use the data of tiles, which it
// keeps for those processes only that ask.
var allowAMX = sync.OnceValue(func() bool {
	const (
		requestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData          = 18     // XFEATURE_XTILEDATA
	)
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
})
