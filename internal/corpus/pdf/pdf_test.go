package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klippa-app/go-pdfium/requests"
)

// shown writes down all that was read of a file, as testdata has it.
func shown(doc Document, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
	}
	if doc.Title != "" {
		fmt.Fprintf(&b, "title: %s\n", doc.Title)
	}
	for _, f := range doc.Faults {
		fmt.Fprintf(&b, "fault: %v\n", f)
	}
	for _, p := range doc.Pages {
		fmt.Fprintf(&b, "page %d\n%s\n", p.Number, p.Text)
	}
	return b.String()
}

// TestFiles reads files with one difficulty each; tools/pdf tells how they were made.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pdf")
	if err != nil || len(files) < 68 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		base := strings.TrimSuffix(name, ".pdf")
		t.Run(filepath.Base(base), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(base + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if got := shown(Read(file(t, name), 1<<20)); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLimitOfText(t *testing.T) {
	if _, err := Read(file(t, "testdata/quoteop.pdf"), 20); err == nil || !strings.Contains(err.Error(), "of text") {
		t.Errorf("40 bytes of text where 20 may be: %v", err)
	}
}

// TestEngineIsStopped lets calls go on for longer than they may.
func TestEngineIsStopped(t *testing.T) {
	data := file(t, "testdata/quoteop.pdf")
	s, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	defer func(d time.Duration) { pageTime = d }(pageTime)
	pageTime = 20 * time.Millisecond
	start := time.Now()
	err = s.guard(func() error {
		for time.Since(start) < 10*time.Second {
			if _, err := s.engine.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: s.doc}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || !s.killed.Load() {
		t.Errorf("not stopped: %v after %v", err, time.Since(start))
	}
	pageTime = time.Nanosecond
	for range 100 { // a page may be read before the clock is looked at
		if _, err = Read(data, 1<<20); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want %v", err, ErrLimit)
	}
}

func TestTitles(t *testing.T) {
	for title, want := range map[string]string{
		"A history of bridges":                  "A history of bridges",
		"  Two \r\n lines\x00 ":                 "Two lines",
		"untitled":                              "",
		"Untitled-1":                            "",
		"(anonymous)":                           "",
		"(unspecified)":                         "",
		"PowerPoint Presentation":               "",
		"Document 3":                            "",
		"Document retention policy":             "Document retention policy",
		"Slide 1":                               "",
		"--":                                    "",
		"2024":                                  "2024",
		"Microsoft Word - Garden plan.doc":      "Garden plan",
		"Microsoft Word - Document1":            "",
		"Microsoft Word - Garden plan":          "Garden plan",
		"Microsoft PowerPoint – Talk.pptx":      "Talk",
		`C:\Users\kim\Desktop\Garden plan.docx`: "Garden plan",
		"file:///home/kim/thesis.dvi":           "thesis",
		"Version 2.0 of the plan":               "Version 2.0 of the plan",
		"Word processing in offices - Part 2":   "Word processing in offices - Part 2",
		"Über die Brücken\u0007":                "Über die Brücken",
		"微软 Word - 报告":                          "微软 Word - 报告",
	} {
		if got := cleanTitle(title); got != want {
			t.Errorf("%q: got %q, want %q", title, got, want)
		}
	}
}

func TestFaultNamesPages(t *testing.T) {
	for want, pages := range map[string][]int{
		"page 3: " + ErrScanned.Error():                                                     {3},
		"pages 3-4, 7: " + ErrScanned.Error():                                               {3, 4, 7},
		"pages 1-1000: " + ErrScanned.Error():                                               upTo(1000, 1),
		"pages 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, and 2 more places: " + ErrScanned.Error(): upTo(24, 2),
	} {
		if got := (Fault{Pages: pages, Err: ErrScanned}).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := (Fault{Err: ErrCut}).Error(); got != ErrCut.Error() {
		t.Errorf("got %q", got)
	}
}

func upTo(n, step int) []int {
	var out []int
	for i := 1; i <= n; i += step {
		out = append(out, i)
	}
	return out
}

// FuzzRead checks that any file gives valid text or an error.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pdf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		if data := file(f, name); len(data) < 4<<10 {
			f.Add(data)
		}
	}
	f.Add([]byte("%PDF-1.4\n%%EOF"))
	f.Add([]byte("1 0 obj <</Type/Page"))
	f.Add(bytes.Repeat([]byte("1 0 obj<</Type/Page/Parent 1 0 R>>endobj\n"), 50))
	if _, err := engine(); err != nil { // its start is not the time of an input
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Read(data, 1<<20)
		last := 0
		for _, p := range doc.Pages {
			if p.Number <= last || p.Text == "" || !utf8.ValidString(p.Text) {
				t.Errorf("page %d after %d: %q", p.Number, last, p.Text)
			}
			last = p.Number
		}
		if text := shown(doc, err); strings.Contains(text, "wasm") || strings.Contains(text, "panic") {
			t.Errorf("the engine's own words: %s", text)
		}
	})
}
