package bm25

import (
	"encoding/json"
	"slices"
)

// Root is what sources were read from: a folder, a file, or standard input. The
// names of its sources begin with its name.
type Root struct {
	Name string `json:"name"` // unique, and no other's beginning
	// Where it is: a path from the directory that the index is in, with slashes, and
	// the absolute one of the day when it was read. Empty for standard input.
	Path     string `json:"path,omitempty"`
	Absolute string `json:"absolute,omitempty"`
	Folder   bool   `json:"folder,omitempty"`
	// Reading is how its files are found and read, for whoever reads them again.
	Reading json.RawMessage `json:"reading,omitempty"`
}

// Roots returns the roots that the index had before the change.
func (w *Writer) Roots() []Root { return w.m.Roots }

// SetRoots puts other roots in their place.
func (w *Writer) SetRoots(roots []Root) { w.m.Roots, w.rooted = roots, true }

// Roots returns what the index's sources were read from.
func (x *Index) Roots() []Root { return slices.Clone(x.manifest.Roots) }
