package kernel

import (
	"fmt"
	"strings"
)

// Sets returns the sets that this processor can run, the fastest first, plain
// Go last.
func Sets() []*Set { return append(assemblySets(), plain) }

// Best returns the fastest set of this processor.
func Best() *Set { return Sets()[0] }

// Choose returns the set of that name; "" is the fastest of this processor.
func Choose(name string) (*Set, error) {
	if name == "" {
		return Best(), nil
	}
	return Named(name)
}

// Names are the names of all sets, on whatever processor.
var Names = []string{"amx", "avx512vnni", "avx512", "avx2", "neondot", "neon", "go"}

// Named returns the set of that name. The error lists those that this processor
// can run.
func Named(name string) (*Set, error) {
	var available []string
	for _, s := range Sets() {
		if s.Name == name {
			return s, nil
		}
		available = append(available, s.Name)
	}
	here := strings.Join(available, ", ")
	for _, n := range Names {
		if n == name {
			return nil, fmt.Errorf("kernels %q: this processor lacks the instructions; available: %s", name, here)
		}
	}
	return nil, fmt.Errorf("kernels %q: no such set; available: %s", name, here)
}
