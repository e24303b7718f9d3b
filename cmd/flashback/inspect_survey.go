package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/hub"
)

// surveyed is what inspect prints of a file that cannot run.
type surveyed struct {
	Path         string      `json:"path"`
	Size         int64       `json:"size"`
	Architecture string      `json:"architecture,omitempty"`
	Kind         string      `json:"kind,omitempty"` // general.type: model, adapter, mmproj …
	Model        string      `json:"name,omitempty"`
	Types        []typeCount `json:"types"` // most tensors first
	Tensors      []announced `json:"tensors"`
	Keys         []string    `json:"keys"`
	Refused      string      `json:"refused"` // why it cannot run
}

type typeCount struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Weights uint64 `json:"weights"`
}

type announced struct {
	Name string   `json:"name"`
	Type string   `json:"type"`
	Dims []uint64 `json:"dims"` // ggml's order
}

// survey reads what a file says of itself that cannot run because of refused; ok is
// false where that is nothing.
func survey(found hub.Model, refused error) (s surveyed, ok bool) {
	file, err := gguf.Look(found.Path)
	if err != nil {
		return s, false
	}
	defer file.Close()
	text := func(key string) string {
		value, err := file.String(key)
		if err != nil {
			return ""
		}
		return value
	}
	s = surveyed{
		Path: found.Path, Size: file.Size(), Keys: file.Keys(), Refused: refused.Error(),
		Architecture: text("general.architecture"), Kind: text("general.type"), Model: text("general.name"),
	}
	types := map[string]*typeCount{}
	for _, t := range file.Announced {
		s.Tensors = append(s.Tensors, announced{t.Name, t.Type, t.Dims})
		if types[t.Type] == nil {
			types[t.Type] = &typeCount{Type: t.Type}
		}
		types[t.Type].Tensors++
		types[t.Type].Weights += t.Weights()
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		s.Types = append(s.Types, *types[t])
	}
	slices.SortStableFunc(s.Types, func(a, b typeCount) int { return cmp.Compare(b.Tensors, a.Tensors) })
	return s, true
}

func (s surveyed) print(out io.Writer, tensors bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%s (cannot run)\n", s.Path)
	row("file", "%s", hub.FormatSize(s.Size))
	row("architecture", "%s", orUnknown(s.Architecture))
	if s.Kind != "" {
		row("kind", "%s", s.Kind)
	}
	row("model", "%s", orUnknown(s.Model))
	row("metadata", "%d keys", len(s.Keys))
	for _, t := range s.Types {
		row("tensors", "%d in %s, %.1f M weights", t.Tensors, t.Type, float64(t.Weights)/1e6)
	}
	row("why", "%s", strings.TrimPrefix(s.Refused, s.Path+": "))
	if tensors {
		fmt.Fprintln(w)
		for _, t := range s.Tensors {
			fmt.Fprintf(w, "  %s\t%s\t%d\n", t.Name, t.Type, t.Dims)
		}
	}
	return w.Flush()
}
