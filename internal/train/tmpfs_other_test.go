//go:build !linux

package train

import "testing"

func smallDisk(t *testing.T, _ int) string {
	t.Skip("a small file system is mounted on Linux only")
	return ""
}
