package bm25

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// FuzzIndex puts any bytes, with right checksums, in the place of a segment's
// file: opening, searching and verifying must not panic.
func FuzzIndex(f *testing.F) {
	passages := []retrieve.Passage{
		{ID: "a#0", Title: "t", Text: "red fox red fox", Source: "f", First: true}, {ID: "a#5", Title: "t", Text: "blue whale", Source: "f", Offset: 5},
		{ID: "b", Text: "green fox and whale", Heading: "animals > mixed", Page: 3, Line: 41},
	}
	good := filepath.Join(f.TempDir(), "index")
	if _, err := Build(context.Background(), good, all(passages), BuildOptions{}); err != nil {
		f.Fatal(err)
	}
	m, err := readManifest(good)
	if err != nil {
		f.Fatal(err)
	}
	// Every file of a segment, and the list of sources.
	name := func(m *manifest, file uint8) string {
		i := int(file) % (len(segmentFiles) + 1)
		if i == len(segmentFiles) {
			return m.Sources
		}
		return m.Segments[0].Name + segmentFiles[i]
	}
	for i := range len(segmentFiles) + 1 {
		data, err := os.ReadFile(filepath.Join(good, name(m, uint8(i))))
		if err != nil {
			f.Fatal(err)
		}
		body := data[:len(data)-footerSize-4] // one block
		f.Add(uint8(i), body)
		f.Add(uint8(i), body[:len(body)/2])
		f.Add(uint8(i), []byte{})
	}
	f.Fuzz(func(t *testing.T, file uint8, data []byte) {
		dir := filepath.Join(t.TempDir(), "index")
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(dir)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name(m, file))
		w, err := createBlockFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		sum, err := w.finish()
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(path) == extSources {
			m.SourcesSum = sum
		} else {
			m.Segments[0].Files[filepath.Ext(path)] = sum
		}
		if err := m.commit(dir); err != nil {
			t.Fatal(err)
		}
		Verify(context.Background(), dir)
		x, err := Open(dir, Options{})
		if err != nil {
			return
		}
		defer x.Close()
		for _, limit := range []uint32{denseLimit, 0} {
			x.denseLimit = limit
			x.Retrieve(context.Background(), retrieve.Query{Text: "red fox whale blue green", K: 2, ExcludeTitles: []string{"t"}})
			x.Search(retrieve.Query{Text: "red fox whale blue green", K: 3}, nil)
		}
		for range x.Sources() {
		}
		if w, err := Append(context.Background(), dir, BuildOptions{}); err == nil {
			w.Add(retrieve.Passage{ID: "c", Source: "f", Text: "red hen"})
			w.Remove("g")
			w.RemoveID("b")
			w.Commit()
		}
	})
}
