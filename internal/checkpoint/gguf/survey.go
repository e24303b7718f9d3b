package gguf

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/mapped"
)

// Survey is what a file says of itself, whether its tensors can be read or not: its
// metadata, which are checked as Open checks them, and what it announces of tensors.
type Survey struct {
	*File     // has no tensors
	Announced []Announced
}

// Announced is a tensor as the file's list has it; nothing of it was checked.
type Announced struct {
	Name string
	Type string   // ggml's name, or its number
	Dims []uint64 // ggml's order: the first is that of a row
}

// Weights returns how many numbers the tensor has; 0 where they cannot be that many.
func (a Announced) Weights() uint64 {
	n := uint64(1)
	for _, d := range a.Dims {
		if d == 0 || n > 1<<62/d {
			return 0
		}
		n *= d
	}
	return n
}

// Look opens a file for what it says of itself. Where the list of tensors breaks off, so
// does the survey.
func Look(path string) (*Survey, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Survey{File: &File{path: path, mapping: m, data: m.Data}}
	c, count, err := s.parseMetadata()
	if err != nil {
		m.Close()
		return nil, err
	}
	for i := uint64(0); i < count; i++ {
		a := c.announced()
		if c.err != nil {
			break
		}
		s.Announced = append(s.Announced, a)
	}
	return s, nil
}

// announced reads an entry of the list of tensors.
func (c *cursor) announced() Announced {
	a := Announced{Name: c.name()}
	dims := c.uint32()
	if dims > maxDims {
		c.failf("it has %d dimensions", dims)
		return a
	}
	for range dims {
		a.Dims = append(a.Dims, c.uint64())
	}
	number := c.uint32()
	if a.Type = fmt.Sprintf("type %d", number); number < uint32(len(ggmlTypes)) {
		a.Type = ggmlTypes[number]
	}
	c.uint64() // its place
	return a
}
