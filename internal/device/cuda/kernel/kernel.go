// Package kernel holds what a card runs: the code, in header-free .cu files that are
// compiled when the project is built (make generate) and embedded, and one method a
// kernel that launches it.
//
// Each kernel takes one struct by value. The Go struct here and the struct in the .cu
// file of the same name mirror each other: fields of fixed width, addresses of the card
// as driver.Ptr. A method looks at sizes only, so a launch may be recorded in a graph and
// run again; what changes from one forward to the next is read from the card's memory.
//
// The promise that all of them keep: a row's bits depend on that row alone. Whatever the
// number of rows, a sum over k is four chains of mma.m16n8k16, each of a quarter of the units
// of 64 columns in order, from 0, and the chains are added in order; attention is computed in
// splits of 128 keys, of which runs of four are added in order and then the runs.
package kernel

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
)

// Set is the kernels, loaded on one card. It is safe for concurrent use.
type Set struct {
	card      driver.Info
	driver    driver.Driver
	functions map[string]driver.Function
}

// Load loads the code for the card.
func Load(d driver.Driver) (*Set, error) {
	card := d.Info()
	image, err := imageFor(card)
	if err != nil {
		return nil, err
	}
	module, err := d.Load(image)
	if err != nil {
		return nil, fmt.Errorf("loading the kernels for %s (compute capability %d.%d): %w", card.Name, card.Major, card.Minor, err)
	}
	s := &Set{card: card, driver: d, functions: map[string]driver.Function{}}
	for _, name := range Names(card) {
		f, err := module.Function(name)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", name, err)
		}
		if err := f.AllowShared(card.Shared - static); err != nil {
			return nil, fmt.Errorf("kernel %s: %w", name, err)
		}
		s.functions[name] = f
	}
	return s, nil
}

// Names returns the names of the kernels that a card loads.
func Names(card driver.Info) []string {
	names := []string{
		"embed", "gather", "norm_narrow", "norm_wide", "elementwise", "lowrank_down", "lowrank_up",
		"pack", "pack_f8", "expand", "random", "rotate", "choose",
	}
	for _, f := range formatNames {
		for _, rows := range fewRows {
			names = append(names, fmt.Sprintf("product_%s_%d", f, rows))
		}
	}
	if card.Major == 9 {
		for f := range formats {
			for _, rows := range dividedRows {
				names = append(names, many{divided: true, rows: rows}.name(f))
			}
			for _, rows := range wholeRows(f) {
				names = append(names, many{rows: rows}.name(f))
			}
		}
	} else {
		for _, f := range formatNames[:2] {
			names = append(names, fmt.Sprintf("product_%s_many", f))
		}
	}
	for _, width := range []int{64, 128, 256} {
		for _, name := range []string{"few", "many"} {
			names = append(names, fmt.Sprintf("attend_%s_%d", name, width))
		}
		if card.Major == 9 && width <= 128 {
			names = append(names, fmt.Sprintf("attend_wide_%d", width))
		}
	}
	return names
}

// static is how much of shared memory the code itself declares, at most.
const static = 14 << 10

// Pad returns the number of elements from one row of f16 activations of a width to the
// next. What lies between must be zeros: nothing writes it, so it is enough that the
// memory is cleared once.
func Pad(width int) int { return (width + padding - 1) / padding * padding }

// padding is how many elements of a row a step of every product takes.
const padding = 64

// hopper reports whether the card has what the code for compute capability 9.0 uses.
func (s *Set) hopper() bool { return s.card.Major == 9 }

// launch runs a kernel.
func (s *Set) launch(stream driver.Stream, name string, grid [3]int, block, shared int, early bool, params any) error {
	shape := driver.Shape{
		Grid:  [3]uint32{uint32(grid[0]), uint32(grid[1]), uint32(grid[2])},
		Block: uint32(block), Shared: uint32(shared), Early: early && s.hopper(),
	}
	if most := s.card.Shared - static; shared > most {
		return fmt.Errorf("kernel %s takes %d KB of shared memory, and %s has %d: choose a model with narrower heads or --device cpu", name, shared>>10, s.card.Name, most>>10)
	}
	if err := stream.Launch(s.functions[name], shape, params); err != nil {
		return fmt.Errorf("kernel %s: %w", name, err)
	}
	return nil
}

// ceil returns n / by, rounded up.
func ceil(n, by int) int { return (n + by - 1) / by }
