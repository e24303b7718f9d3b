package engine

import (
	"testing"
	"time"
)

// TestGuessingPays: guesses that are right often enough go on, others rest and are tried
// again.
func TestGuessingPays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		beside time.Duration // of a forward with guesses; 10 ms without
		right  func(i int) int
		pays   bool
	}{
		{"cheap and sometimes right", 10200 * time.Microsecond, func(i int) int { return i % 4 / 3 }, true},
		{"cheap and never right", 10300 * time.Microsecond, func(int) int { return 0 }, false},
		{"dear and right", 15 * time.Millisecond, func(int) int { return 2 }, true},
		{"dear and sometimes right", 15 * time.Millisecond, func(i int) int { return i % 4 / 3 }, false},
	} {
		var g guessing
		guessed, last := 0, 0
		for i := range 1000 {
			if i%3 == 0 || !g.pays() { // nothing to copy, or not worth it
				g.note(10*time.Millisecond, 0, 0)
				continue
			}
			g.note(tt.beside, 7, tt.right(i))
			guessed++
			last = i
		}
		if pays := guessed > 500; pays != tt.pays {
			t.Errorf("%s: guessed %d times", tt.name, guessed)
		}
		if last < 900 {
			t.Errorf("%s: was not tried again after %d", tt.name, last)
		}
	}
}
