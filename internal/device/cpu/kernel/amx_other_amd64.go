//go:build !linux

package kernel

// allowAMX says whether this process may use AMX. How other systems give leave is
// untried.
func allowAMX() bool { return false }
