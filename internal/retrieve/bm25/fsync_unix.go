//go:build unix

package bm25

import (
	"os"
	"syscall"
)

// errNoSpace is the system's word for a full disk.
const errNoSpace = syscall.ENOSPC

// syncDir makes the renames inside dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
