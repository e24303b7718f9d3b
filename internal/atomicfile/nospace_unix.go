//go:build unix

package atomicfile

import "syscall"

// errNoSpace is the system's word for a full disk.
const errNoSpace = syscall.ENOSPC
