package corpus

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns the documents and the sources of the errors.
func read(t testing.TB, path, stdin string) (docs []Document, broken []string) {
	t.Helper()
	for d, err := range Read(t.Context(), path, Options{Stdin: strings.NewReader(stdin)}) {
		if err == nil {
			docs = append(docs, d)
			continue
		}
		fe, ok := errors.AsType[*FileError](err)
		if !ok {
			t.Fatal(err)
		}
		if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrNoText) {
			broken = append(broken, fe.At())
		}
	}
	return docs, broken
}

func docx(t testing.TB, paragraphs string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"word/document.xml": `<w:document xmlns:w="w"><w:body>` + paragraphs + `</w:body></w:document>`,
		"docProps/core.xml": `<c:coreProperties xmlns:c="c" xmlns:d="d"><d:title>Word title</d:title></c:coreProperties>`,
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFormats(t *testing.T) {
	for _, tc := range []struct {
		name  string
		data  []byte
		title string
		text  string
	}{
		{"a.txt", []byte("\xef\xbb\xbfone\r\ntwo"), "a.txt", "one\ntwo"},
		{"a.go", []byte("package a\n"), "a.go", "package a\n"},
		{"utf16.txt", []byte("\xff\xfeh\x00\xe9\x00"), "utf16.txt", "hé"},
		{"a.md", []byte("---\ntitle: \"Front\"\ndate: x\n---\nBody\n"), "Front", "Body\n"},
		{"b.md", []byte("```\n# no\n```\n## Yes ##\nBody"), "Yes", "```\n# no\n```\n## Yes ##\nBody"},
		{"c.md", []byte("Body"), "c.md", "Body"},
		{"a.html", []byte(`<html><head><title>Page  title</title><script>x()</script></head><body><nav>menu</nav><main><h2>Head</h2><p>One <b>two</b>,<br>three.</p><ul><li>a</li><li>b</li></ul><pre>x  y
z</pre></main><footer>foot</footer></body></html>`), "Page title", "## Head\n\nOne two,\nthree.\n\na\nb\n\nx  y\nz"},
		{"latin1.html", []byte("<meta charset=iso-8859-1><p>caf\xe9"), "latin1.html", "café"},
		{"a.docx", docx(t, `<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Head</w:t></w:r></w:p><w:p><w:r><w:t>One </w:t></w:r><w:r><w:t>two</w:t></w:r></w:p>`), "Word title", "# Head\n\nOne two"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			docs, broken := read(t, write(t, dir, tc.name, tc.data), "")
			if len(docs) != 1 || len(broken) > 0 {
				t.Fatalf("%d documents, broken: %v", len(docs), broken)
			}
			if d := docs[0]; d.Title != tc.title || d.Text != tc.text || d.Source != tc.name || d.ID != tc.name {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	jsonl := "{\"id\":7,\"title\":\"T\",\"text\":\"one\",\"x\":{\"y\":[1]}}\n\n{\"text\":\"two\"}\nno json\n{\"id\":\"c\"}\n{\"text\":3.5}"
	var zst bytes.Buffer
	zw, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	zw.Write([]byte(jsonl))
	zw.Close()
	var gz bytes.Buffer
	gw := gzip.NewWriter(&gz)
	gw.Write([]byte("id\ttext\na\tone \"quoted\"\r\nb\t\"open\nc\n"))
	gw.Close()
	for _, tc := range []struct {
		name   string
		data   []byte
		want   []string // id, title and text
		broken []string
	}{
		{"r.jsonl", []byte(jsonl), []string{"7|T|one", "r.jsonl:3||two", "r.jsonl:6||3.5"}, []string{"r.jsonl:4", "r.jsonl:5"}},
		{"r.jsonl.zst", zst.Bytes(), []string{"7|T|one", "r.jsonl.zst:3||two", "r.jsonl.zst:6||3.5"}, []string{"r.jsonl.zst:4", "r.jsonl.zst:5"}},
		{"r.csv", []byte("text,title,id\n\"a, b\",T,1\nc\n"), []string{"1|T|a, b", "r.csv:3||c"}, nil},
		{"short.csv", []byte("id,text\n1\n2,x\n"), []string{"2||x"}, []string{"short.csv:2"}},
		{"none.csv", []byte("id,body\n1,x\n"), []string{"1|none.csv|id: 1\nbody: x"}, nil},
		{"noheader.csv", []byte("1,x\n2,\"y\nz\"\n"), []string{"noheader.csv:1|noheader.csv|1 | x", "noheader.csv:2|noheader.csv|2 | y z"}, nil},
		{"case.csv", []byte("ID;Title;TEXT\n1;T;a, b\n"), []string{"1|T|a, b"}, nil},
		{"sep.csv", []byte("sep=|\nid|text\n1|a, b;\n"), []string{"1||a, b;"}, nil},
		{"tab.csv", []byte("id\ttext\n1\ta, b\n"), []string{"1||a, b"}, nil},
		{"stray.csv", []byte("id,text\n1,\"open\n2,fine\n3,\"a \"\"b\"\"\nc\"\n4,say \"hi\"\n5,\"say \"hi\" twice\"\n6,\"open"), []string{"2||fine", "3||a \"b\"\nc", "4||say \"hi\"", "5||say \"hi\" twice"}, []string{"stray.csv:2", "stray.csv:8"}},
		{"swallow.csv", []byte("id,text,x\n1,\"open,a\n2,fine,b\n3,fine,6\"\n"), []string{"2||fine", "3||fine"}, []string{"swallow.csv:2"}},
		{"utf16.csv", []byte("\xff\xfei\x00d\x00,\x00t\x00e\x00x\x00t\x00\n\x001\x00,\x00\xe9\x00"), []string{"1||é"}, nil},
		{"1252.csv", []byte("id,text\n1,plain\n2,caf\xe9\n"), []string{"1||plain", "2||café"}, nil},
		{"binary.csv", []byte("\x00\x01\x02"), nil, []string{"binary.csv"}},
		{"r.tsv.gz", gz.Bytes(), []string{"a||one \"quoted\"", "b||\"open"}, []string{"r.tsv.gz:4"}},
		{"empty.csv", nil, nil, nil},
	} {
		docs, broken := read(t, write(t, dir, tc.name, tc.data), "")
		var got []string
		for _, d := range docs {
			got = append(got, d.ID+"|"+d.Title+"|"+d.Text)
		}
		if !slices.Equal(got, tc.want) || !slices.Equal(broken, tc.broken) {
			t.Errorf("%s: got %q, broken %q", tc.name, got, broken)
		}
	}
}

func TestStdin(t *testing.T) {
	if docs, _ := read(t, "-", "  {\"id\":\"a\",\"text\":\"one\"}\n"); len(docs) != 1 || docs[0].ID != "a" {
		t.Errorf("records: %+v", docs)
	}
	if docs, _ := read(t, "-", "plain text"); len(docs) != 1 || docs[0].Text != "plain text" || docs[0].Source != "stdin" {
		t.Errorf("text: %+v", docs)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"a.txt": "a", "sub/b.md": "# B", "sub/README": "r", "picture.xyz": "\x00\x01", ".hidden/c.txt": "c", ".secret": "s",
		".gitignore": "build/\n*.log\n", "build/d.txt": "d", "x.log": "x", "sub/.ignore": "e.txt\n", "sub/e.txt": "e", "sub/deep/e.txt": "e", "e.txt": "e",
		"broken.pdf": "%PDF-1.4 not really", "broken.docx": "PK", "broken.txt.gz": "not gzip", "cut.txt.zst": "\x28\xb5\x2f\xfd",
	} {
		write(t, dir, name, []byte(data))
	}
	docs, broken := read(t, dir, "")
	var got []string
	for _, d := range docs {
		got = append(got, d.Source)
	}
	if want := []string{"a.txt", "e.txt", "sub/README", "sub/b.md"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []string{"broken.docx", "broken.pdf", "broken.txt.gz", "cut.txt.zst"}; !slices.Equal(broken, want) {
		t.Errorf("broken %q, want %q", broken, want)
	}
	if docs, broken := read(t, filepath.Join(dir, "picture.xyz"), ""); len(docs) != 0 || len(broken) != 1 {
		t.Errorf("a binary file asked for by name: %v, %v", docs, broken)
	}
}

// fuzzParser checks that a parser gives valid text or an error.
func fuzzParser(f *testing.F, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kindByExtension[name].parse(bytes.NewReader(data), "f", "f"+name, DefaultFields, func(d Document, err error) bool {
			if err == nil && (strings.ToValidUTF8(d.Text, "") != d.Text || d.ID == "" || d.Source == "") {
				t.Errorf("%+v", d)
			}
			return true
		})
	})
}

func FuzzHTML(f *testing.F) {
	fuzzParser(f, ".html", "<p>a<b>c", "<meta charset=utf-16><title>\xff", "<pre>\n\n<pre></pre>", "<h1><table><tr><td>x<h2>", "<template><svg><nav>")
}

func FuzzJSONL(f *testing.F) {
	fuzzParser(f, ".jsonl", `{"text":"a"}`, "{\"id\":1e9,\"text\":null}\n[", `{"text":"\ud800"}`, "\ufeff{\"text\":[]}")
}

func FuzzCSV(f *testing.F) {
	fuzzParser(f, ".csv", "text\na\n", "id,text\n\"", "text,text\n,\n", "\ufefftext\n\"a\n\"\"b\"")
}

func FuzzTSV(f *testing.F) {
	fuzzParser(f, ".tsv", "text\na\n", "id\ttext\n\"\n\t\n", "\ufefftext\r\na")
}
