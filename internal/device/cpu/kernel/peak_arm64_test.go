package kernel

// peak runs the set's peak loop and returns its operations.
func peak(*Set) float64 {
	const steps = 1 << 17
	peakNEON(steps)
	return steps * 24 * 4 * 2
}
