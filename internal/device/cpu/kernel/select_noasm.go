//go:build !amd64 && !arm64

package kernel

// assemblySets returns none: there is no assembly for this processor yet.
func assemblySets() []*Set { return nil }
