package modeltest

import (
	"embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
)

// files are what tools/reference/families.py makes: a tiny model of every family, and what
// transformers computes of it.
//
//go:embed testdata
var files embed.FS

// Reference is what transformers computes of a tiny model.
type Reference struct {
	IDs    []int32   // a text
	Probes []int32   // tokens
	Logits []float32 // of these behind each token of the text [text, probes]
	// BehindReserve, of models with learned positions, are the natural log-probabilities of
	// the text's tokens but the first, where the text starts at position 130 [text-1].
	BehindReserve []float32
}

// Families are the names of the tiny models.
func Families(t testing.TB) []string {
	t.Helper()
	entries, err := files.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".gguf"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Family opens a tiny model.
func Family(t testing.TB, name string) *model.Model {
	t.Helper()
	m, err := model.Load(file(t, name+".gguf"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// ReferenceOf returns what transformers computes of a tiny model.
func ReferenceOf(t testing.TB, name string) Reference {
	t.Helper()
	f, err := safetensors.Open(file(t, name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r Reference
	for _, x := range f.Tensors {
		switch x.Name {
		case "ids":
			r.IDs = whole(x.Floats())
		case "probes":
			r.Probes = whole(x.Floats())
		case "logits":
			r.Logits = x.Floats()
		case "behind_reserve":
			r.BehindReserve = x.Floats()
		}
	}
	return r
}

func whole(x []float32) []int32 {
	out := make([]int32, len(x))
	for i, v := range x {
		out[i] = int32(v)
	}
	return out
}

// file returns the path of a copy.
func file(t testing.TB, name string) string {
	t.Helper()
	data, err := files.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
