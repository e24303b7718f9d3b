package model

import (
	"strings"
	"testing"
)

// TestListsAreSound holds every family's list to what all that walks it takes for granted.
func TestListsAreSound(t *testing.T) {
	for name := range families {
		c := Config{Family: name, Layers: 2, Hidden: 64, Heads: 4, KVHeads: 2, HeadDim: 16, FF: 96, Context: 64, Vocab: 300, Positions: 64}
		check := func(list []Spec, inBlock bool) {
			roles, names := map[Role]bool{}, map[string]bool{}
			for _, s := range list {
				if roles[s.Role] || s.First == 0 && (names[s.GGUF] || names[s.HuggingFace]) {
					t.Errorf("%s: %s or its name is listed twice", name, s.Role)
				}
				roles[s.Role], names[s.GGUF], names[s.HuggingFace] = true, true, true
				for _, n := range []string{s.GGUF, s.HuggingFace} {
					if strings.Contains(n, "%d") != inBlock {
						t.Errorf("%s: the name %q of %s, in a block %v", name, n, s.Role, inBlock)
					}
				}
				if s.Rows < 1 || s.Cols < 1 || s.Role.Projection() && (!inBlock || s.Module() == s.HuggingFace) {
					t.Errorf("%s: %+v", name, s)
				}
				if s.Paired > 0 && s.Rows%s.Paired != 0 {
					t.Errorf("%s: %s has %d rows and heads of %d", name, s.Role, s.Rows, s.Paired)
				}
			}
		}
		check(c.Outside(), false)
		check(c.Block(), true)
		for _, s := range c.Outside() {
			if s.Role == Embedding && (s.GGUF != embeddingName || s.Optional) {
				t.Errorf("%s: its embedding is %q", name, s.GGUF)
			}
		}
	}
}
