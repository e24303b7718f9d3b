package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/model"
)

// positions says how a model knows where tokens stand, and what they see.
func positions(c model.Config) string {
	if c.Positions > 0 {
		return fmt.Sprintf("%d learned", c.Positions)
	}
	parts := []string{"rotary", fmt.Sprintf("base %g", c.RopeBase)}
	if c.RopeFactors != nil {
		parts = append(parts, fmt.Sprintf("frequencies divided by up to %.3g", slices.Max(c.RopeFactors)))
	}
	if c.LongFactors != nil {
		parts = append(parts, fmt.Sprintf("by up to %.3g in texts of more than %d", slices.Max(c.LongFactors), c.ShortContext))
	}
	if n := layersOf(c.Unturned); n > 0 {
		parts = append(parts, fmt.Sprintf("none in %d layers", n))
	}
	if c.Window > 0 {
		window := fmt.Sprintf("a window of %d", c.Window)
		if n := layersOf(c.Local); n > 0 {
			window += fmt.Sprintf(" in %d layers", n)
		}
		if c.LocalBase > 0 {
			window += fmt.Sprintf(" of base %g", c.LocalBase)
		}
		parts = append(parts, window)
	}
	return strings.Join(parts, ", ")
}

// layersOf counts the layers that are marked.
func layersOf(layers []bool) (n int) {
	for _, is := range layers {
		if is {
			n++
		}
	}
	return n
}
