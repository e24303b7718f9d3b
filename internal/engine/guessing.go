package engine

import "time"

// guessing finds out while a sequence writes whether it pays to guess tokens: where a device
// reads the weights once for several rows, a guess that is right saves a forward, and one
// that is wrong costs what the rows beside cost. Only the speed depends on it.
type guessing struct {
	alone, beside float64 // seconds of a forward without guesses and with; 0: not known
	gained        float64 // tokens that a forward's guesses gave
	tried         int     // forwards with guesses since it was last given up
	waits         int     // forwards until it is tried again
}

// How much the last measurement counts, how often guessing is tried before it is judged, how
// long it rests where it does not pay, and how many tokens are guessed where nobody says.
const (
	trial        = 12
	newest       = 0.1
	rest         = 64
	mostGuesses  = 7
	worthWaiting = 1.02 // of the time that it takes without
)

// pays reports whether guessing is worth its rows, and tries it again now and then.
func (g *guessing) pays() bool {
	if g.tried < trial || g.alone == 0 {
		return true
	}
	if (1+g.gained)*g.alone > worthWaiting*g.beside {
		return true
	}
	if g.waits == 0 {
		g.waits = rest
	}
	if g.waits--; g.waits == 0 {
		g.tried = 0
		return true
	}
	return false
}

// note takes what a forward took, and how many guesses were in it and right.
func (g *guessing) note(took time.Duration, guesses, right int) {
	mean := func(of *float64, now float64) {
		if *of == 0 {
			*of = now
		}
		*of += newest * (now - *of)
	}
	if guesses == 0 {
		mean(&g.alone, took.Seconds())
		return
	}
	mean(&g.beside, took.Seconds())
	g.tried++
	g.gained += newest * (float64(right) - g.gained)
}
