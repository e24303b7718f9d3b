package trainset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// letters is a tokenizer of one token a byte.
type letters struct{}

func (letters) Encode(text string) []int32 {
	tokens := make([]int32, len(text))
	for i := range tokens {
		tokens[i] = int32(text[i])
	}
	return tokens
}

func (letters) Decode(tokens []int32) string {
	b := make([]byte, len(tokens))
	for i, t := range tokens {
		b[i] = byte(t)
	}
	return string(b)
}

// shelf finds as many passages as are asked for: chunks of the documents d0, d1 …
// in an order that the query decides. It excludes by id alone, as an index that
// knows nothing of chunks does.
type shelf struct {
	documents int
	looked    func() error
}

func (s shelf) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	if s.looked != nil {
		if err := s.looked(); err != nil {
			return nil, err
		}
	}
	var found []retrieve.Passage
	for i := range min(q.K, s.documents) {
		d := (int(q.Text[0]) + i) % s.documents
		found = append(found, retrieve.Passage{ID: fmt.Sprintf("d%d#0", d), Text: q.Text, Score: float64(10 - i)})
	}
	return found, nil
}

var small = Options{Context: 12, Stride: 4, Branches: 2, K: 2, QueryLen: 4, PassageLen: 3, Seed: 7}

// documents are texts of 2, 18, 34 … letters: a window is 16.
func documents(n int) iter.Seq2[corpus.Document, error] {
	return func(yield func(corpus.Document, error) bool) {
		for i := range n {
			text := strings.Repeat(string(rune('a'+i)), 2+16*i)
			if !yield(corpus.Document{ID: fmt.Sprintf("d%d", i), Title: "t", Text: text}, nil) {
				return
			}
		}
	}
}

func preparation(t testing.TB, o Options, threads int, looked func() error) *Preparation {
	t.Helper()
	plan, err := Read(documents(6), letters{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return &Preparation{Plan: plan, Tokenizer: letters{}, Retriever: shelf{6, looked}, Threads: threads,
		Header: Header{Tokenizer: "letters", Vocab: 256, Index: "shelf"}}
}

// prepared returns the bytes of the files of a run in one go.
func prepared(t testing.TB, o Options, threads int) (training, validation []byte) {
	t.Helper()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if _, err := preparation(t, o, threads, nil).Run(context.Background(), a, 0, b, 1, func() {}); err != nil {
		t.Fatal(err)
	}
	training, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	if validation, err = os.ReadFile(b); err != nil {
		t.Fatal(err)
	}
	return training, validation
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	path, held := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	stats, err := preparation(t, small, 2, nil).Run(context.Background(), path, 8, held, 1, func() {})
	if err != nil || stats != (Stats{Windows: 8, Strides: 16, Targets: 64, Passages: 32}) {
		t.Fatalf("%+v, %v", stats, err)
	}
	set, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	validation, err := Open(held)
	if err != nil {
		t.Fatal(err)
	}
	defer validation.Close()
	apart, err := validation.Window(0)
	if err != nil {
		t.Fatal(err)
	}
	turns := map[string]int{}
	for i := set.Len() - 1; i >= 0; i-- {
		w, err := set.Window(i)
		if err != nil {
			t.Fatal(err)
		}
		turns[w.Document]++
		if w.Document == apart.Document {
			t.Errorf("training sees the validation document %s", w.Document)
		}
		for _, s := range w.Strides {
			if s.Context%4 != 0 || len(s.Passages) != 2 {
				t.Errorf("window %d: %+v", i, s)
			}
			for _, p := range s.Passages {
				if strings.HasPrefix(p.ID, w.Document+"#") {
					t.Errorf("window %d of document %s has passage %s", i, w.Document, p.ID)
				}
			}
		}
	}
	if len(turns) != 4 {
		t.Errorf("windows are of %d documents: %v", len(turns), turns)
	}
	var out bytes.Buffer
	if err := set.Export(&out); err != nil || strings.Count(out.String(), "\n") != 9 {
		t.Errorf("%v: the export is\n%s", err, out.String())
	}
}

// TestBOS prepares the same windows for a model that reads a BOS in front of every text.
func TestBOS(t *testing.T) {
	windows := func(lead []int32) (Header, []Window) {
		path := filepath.Join(t.TempDir(), "a")
		p := preparation(t, small, 1, nil)
		p.Lead = lead
		if _, err := p.Run(context.Background(), path, 0, "", 0, func() {}); err != nil {
			t.Fatal(err)
		}
		set, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		var all []Window
		for i := range set.Len() {
			w, err := set.Window(i)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
		}
		return set.Header(), all
	}
	plain, want := windows(nil)
	h, got := windows([]int32{3})
	if plain.BOS || !h.BOS || h.MaxContext() != plain.MaxContext()+1 {
		t.Errorf("the headers say %+v and %+v", plain, h)
	}
	for _, w := range want {
		for i := range w.Strides {
			w.Strides[i].Context++
		}
	}
	for i := range want {
		want[i].Tokens = append([]int32{3}, want[i].Tokens...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with BOS\n%v\nwant\n%v", got, want)
	}
	if err := plain.checkWindow(got[0]); err == nil {
		t.Error("a window with BOS passes for one without")
	}
}

// TestResume stops a run at each look-up, damages what it left, and goes on: the
// files are those of a run in one go, with any number of threads.
func TestResume(t *testing.T) {
	training, validation := prepared(t, small, 1)
	if again, held := prepared(t, small, 3); !bytes.Equal(again, training) || !bytes.Equal(held, validation) {
		t.Fatal("three threads make other bytes than one")
	}
	other := small
	other.Seed++
	if again, _ := prepared(t, other, 1); bytes.Equal(again, training) {
		t.Error("another seed makes the same bytes")
	}
	stop := errors.New("stop")
	path := filepath.Join(t.TempDir(), "a")
	held := path + ".validation"
	for lookUps := 1; ; lookUps += 3 {
		left := lookUps
		_, err := preparation(t, small, 1, func() error {
			if left--; left < 0 {
				return stop
			}
			return nil
		}).Run(context.Background(), path, 0, held, 1, func() {})
		if err == nil {
			break
		}
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		// A kill may leave a window half written.
		if f, err := os.OpenFile(path+partial, os.O_APPEND|os.O_WRONLY, 0); err == nil {
			f.WriteString("torn")
			f.Close()
		}
	}
	for name, want := range map[string][]byte{path: training, held: validation} {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from that of one run, %v", name, err)
		}
	}
}

// TestWriterGoesOn cuts a partial file everywhere: what is whole stays.
func TestWriterGoesOn(t *testing.T) {
	training, _ := prepared(t, small, 1)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	if err := os.WriteFile(whole, training, 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	path := filepath.Join(dir, "a")
	for cut := 0; cut < len(training); cut += 7 {
		if err := os.WriteFile(path+partial, training[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(path, set.Header())
		if err != nil {
			t.Fatal(err)
		}
		for i := w.Len(); i < set.Len(); i++ {
			window, err := set.Window(i)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Add(window); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, training) {
			t.Fatalf("cut at %d, the file differs", cut)
		}
	}
	h := set.Header()
	h.Seed++
	if err := os.WriteFile(path+partial, training[:300], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewWriter(path, h); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("another header: %v", err)
	}
}

func TestTinyCorpora(t *testing.T) {
	if _, err := Read(documents(1), letters{}, small); err == nil || !strings.Contains(err.Error(), "16 tokens") {
		t.Errorf("a document that is too short: %v", err)
	}
	if _, err := Read(documents(0), letters{}, small); err == nil {
		t.Error("no document: no error")
	}
	p := preparation(t, small, 1, nil)
	path := filepath.Join(t.TempDir(), "a")
	if _, err := p.Run(context.Background(), path, 99, "", 0, func() {}); err == nil || !strings.Contains(err.Error(), "15 windows, not 99") {
		t.Errorf("more windows than there are: %v", err)
	}
	if _, err := p.Run(context.Background(), path, 0, path+"v", 5, func() {}); err == nil {
		t.Error("all documents for validation: no error")
	}
	for _, o := range []Options{{}, {Context: 3, Stride: 4, Branches: 1, K: 1, QueryLen: 4, PassageLen: 1}, {Context: 1 << 30, Stride: 1, Branches: 1, K: 1, QueryLen: 1, PassageLen: 1}} {
		if o.Check() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestDamage flips each byte of a file: what is read is refused or is what was
// written.
func TestDamage(t *testing.T) {
	training, _ := prepared(t, small, 1)
	path := filepath.Join(t.TempDir(), "a")
	read := func(data []byte) (windows []Window, err error) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		set, err := Open(path)
		if err != nil {
			return nil, err
		}
		defer set.Close()
		for i := range set.Len() {
			w, err := set.Window(i)
			if err != nil {
				return nil, err
			}
			windows = append(windows, w)
		}
		return windows, nil
	}
	want, err := read(training)
	if err != nil {
		t.Fatal(err)
	}
	for i := range training {
		damaged := bytes.Clone(training)
		damaged[i] ^= 0x10
		if got, err := read(damaged); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("byte %d is damaged and nobody sees it", i)
		} else if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d: %v does not name the file", i, err)
		}
	}
	for n := range len(training) {
		if _, err := read(training[:n]); err == nil {
			t.Fatalf("a file cut at %d is read", n)
		}
	}
}

// FuzzRecord: a record is refused, or encodes to a record that reads the same.
func FuzzRecord(f *testing.F) {
	w := Window{Document: "d", Tokens: []int32{1, 300, 2}, Strides: []Stride{{Context: 1, Passages: []Passage{{"p", 1.5, []int32{7}}}}, {Context: 2}}}
	f.Add(appendWindow(nil, w))
	f.Add([]byte{})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0x07})
	f.Add([]byte{1, 'd', 0, 0xff, 0xff, 0x03, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeWindow(b)
		if err != nil {
			return
		}
		again, err := decodeWindow(appendWindow(nil, w))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(w) { // NaN differs from itself
			t.Errorf("%+v reads again as %+v, %v", w, again, err)
		}
	})
}

// FuzzOpen: any bytes are refused or give windows of the header's shape.
func FuzzOpen(f *testing.F) {
	training, _ := prepared(f, small, 1)
	f.Add(training)
	f.Add(training[:200])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		set, err := Open(path)
		if err != nil {
			return
		}
		defer set.Close()
		for i := range set.Len() {
			if w, err := set.Window(i); err == nil && set.header.checkWindow(w) != nil {
				t.Errorf("window %d is %+v", i, w)
			}
		}
	})
}

// TestExportWithoutPassages: a stride that nothing was found for has an empty list,
// so that readers need no case for it.
func TestExportWithoutPassages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	w, err := NewWriter(path, Header{Windows: 1, Tokenizer: "letters", Vocab: 256, Corpus: "d", Index: "shelf", Part: Training, Options: small})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Add(Window{Document: "d", Tokens: make([]int32, 16), Strides: []Stride{{Context: 4}, {Context: 8}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	set, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	var out bytes.Buffer
	if err := set.Export(&out); err != nil || !strings.Contains(out.String(), `"passages":[]`) {
		t.Errorf("%v: the export is\n%s", err, out.String())
	}
}
