package corpus

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.txt": "text", "b/empty.md": " \n", "c.PNG": "\x00\x01", "d.png": "\x00", "e": "\x00", "f.pdf": "no PDF",
		"g.jsonl": "{\"text\":\"one\"}\nno\n" + strings.Repeat("{\"body\":\"x\",\"n\":1}\n", 1000),
		"h.csv":   "text,n\n\"x,1\n",
		"i.csv":   "text\n",
	} {
		write(t, dir, name, []byte(text))
	}
	read := 0
	total := int64(0)
	var r Report
	for _, err := range r.Watch(Read(t.Context(), dir, Options{Progress: func(n int64) { total += n }}), false) {
		if err != nil {
			t.Fatal(err)
		}
		read++
	}
	size := int64(0)
	for f, err := range Files(dir, Options{}.Folder) {
		if err != nil {
			t.Fatal(err)
		}
		size += f.Info.Size()
	}
	if total != size {
		t.Errorf("progress over %d bytes of %d", total, size)
	}
	faults := r.Faults
	r.Faults, r.source, r.faulty = nil, "", ""
	want := Report{Files: 2, Empty: 2, Unknown: map[string]int{".png": 2, "": 1}, BadFiles: 1, BadRecords: 1002}
	if !reflect.DeepEqual(r, want) || read != 2 {
		t.Errorf("%d documents, got %+v, want %+v", read, r, want)
	}
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprint(f.Source, ":", f.Line, " ", f.Records, " ", f.Fields))
	}
	if want := []string{"f.pdf:0 0 []", "g.jsonl:2 1001 [body n]", "h.csv:2 1 []"}; !reflect.DeepEqual(got, want) {
		t.Errorf("faults %q, want %q", got, want)
	}
	for _, f := range faults {
		if f.Reason == "" {
			t.Errorf("no reason: %+v", f)
		}
	}
}

// TestReportIsShort has more broken files than a report names.
func TestReportIsShort(t *testing.T) {
	dir := t.TempDir()
	for i := range 25 {
		write(t, dir, fmt.Sprintf("%02d.pdf", i), []byte("no PDF"))
		write(t, dir, fmt.Sprintf("%02d.jsonl", i), []byte("no\nno\n"))
	}
	var r Report
	for range r.Watch(Read(t.Context(), dir, Options{}), false) {
		t.Error("a document")
	}
	if len(r.Faults) != MaxFaults || r.BadFiles != 25 || r.BadRecords != 50 || r.Faults[0].Source != "00.jsonl" || r.Faults[0].Records != 2 {
		t.Errorf("%+v", r)
	}
}

func TestStrictReport(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.png", []byte{0})
	write(t, dir, "b.pdf", []byte("no PDF"))
	write(t, dir, "c.txt", []byte("text"))
	var r Report
	n := 0
	for _, err := range r.Watch(Read(t.Context(), dir, Options{}), true) {
		if n++; err == nil || !strings.HasPrefix(err.Error(), "b.pdf: ") {
			t.Errorf("error %v, want that of b.pdf", err)
		}
	}
	if n != 1 {
		t.Errorf("%d documents or errors, want 1", n)
	}
	for _, err := range Read(t.Context(), filepath.Join(dir, "a.png"), Options{}) {
		if Harmless(err) || err == nil {
			t.Errorf("a picture asked for by name: %v", err)
		}
	}
}
