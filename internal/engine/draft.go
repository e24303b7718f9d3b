package engine

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/lm"
)

// The longest and the shortest run of tokens that draft searches for. A single
// token says too little of what follows it.
const (
	longestRun  = 4
	shortestRun = 2
)

// draft guesses up to n tokens that follow the text: those behind the last
// place, in a passage or else in the text, where its last tokens stand too. The
// longest match wins (prompt look-up decoding).
func draft(evidence []lm.Evidence, text []int32, n int) []int32 {
	if n <= 0 {
		return nil
	}
	for run := longestRun; run >= shortestRun; run-- {
		if len(text) < run {
			continue
		}
		end := text[len(text)-run:]
		for _, ev := range evidence {
			if found := after(ev.Tokens, end, n); found != nil {
				return found
			}
		}
		if found := after(text, end, n); found != nil {
			return found
		}
	}
	return nil
}

// after returns up to n tokens behind the last occurrence of run that has any.
func after(tokens, run []int32, n int) []int32 {
	for i := len(tokens) - len(run) - 1; i >= 0; i-- {
		if slices.Equal(tokens[i:i+len(run)], run) {
			from := i + len(run)
			return tokens[from:min(from+n, len(tokens))]
		}
	}
	return nil
}
