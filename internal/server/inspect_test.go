package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/library"
)

// An index tells which documents it holds, page by page, and whether its files are as
// they were written.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	l, err := library.Open(library.Options{Dir: dir, Tokenizer: words{}, Warn: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := started(t, Options{Model: &fake{text: "yes"}, Name: "tiny", Stores: l}, nil)
	var store storeObject
	ask(t, s, 200, "POST", "/v1/vector_stores", `{}`, &store)
	at := "/v1/vector_stores/" + store.ID
	files := map[string]string{}
	for _, name := range []string{"a.txt", "b.txt", "c.md"} {
		id := uploaded(t, s, name, "The key of "+name+" hangs behind the door.")
		files[id] = name
		attached(t, s, store.ID, id)
	}
	var page struct {
		Data []documentObject
		More bool   `json:"has_more"`
		Last string `json:"last_id"`
	}
	ask(t, s, 200, "GET", at+"/documents?limit=2", "", &page)
	if len(page.Data) != 2 || !page.More || page.Last != page.Data[1].ID {
		t.Fatalf("the first page is %+v", page)
	}
	for _, d := range page.Data {
		if d.Passages != 1 || d.Bytes == 0 || d.ModifiedAt == nil || files[d.File] != filepath.Base(d.ID) {
			t.Errorf("a document is %+v", d)
		}
	}
	ask(t, s, 200, "GET", at+"/documents?after="+page.Last, "", &page)
	if len(page.Data) != 1 || page.More || filepath.Base(page.Data[0].ID) != "c.md" {
		t.Errorf("the last page is %+v", page)
	}
	for _, wrong := range []string{"limit=0", "order=asc", "before=a"} {
		ask(t, s, 400, "GET", at+"/documents?"+wrong, "", nil)
	}

	var v verification
	ask(t, s, 200, "POST", at+"/verify", "", &v)
	if !v.Good || v.Sources != 3 || v.Passages != 3 || v.Segments == 0 {
		t.Errorf("a good index is told to be %+v", v)
	}
	// A bit of a file turns over.
	written, err := filepath.Glob(filepath.Join(dir, "stores", "*.index", "*.postings"))
	if err != nil || len(written) == 0 {
		t.Fatalf("no postings are found: %v", err)
	}
	data, err := os.ReadFile(written[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(written[0], data, 0o666); err != nil {
		t.Fatal(err)
	}
	v = verification{}
	ask(t, s, 200, "POST", at+"/verify", "", &v)
	if v.Good || v.Fault == "" {
		t.Errorf("a damaged index is told to be %+v", v)
	}
}
