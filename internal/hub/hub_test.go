package hub

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// isolate gives the test its own caches and no other settings of the tools.
func isolate(t *testing.T) (store, cache string) {
	t.Helper()
	root := t.TempDir()
	for _, key := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(key, "")
	}
	t.Setenv("FLASHBACK_CACHE", filepath.Join(root, "flashback"))
	t.Setenv("HF_HOME", filepath.Join(root, "hf"))
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1") // nobody is there
	t.Setenv("PATH", filepath.Join(root, "bin"))
	return filepath.Join(root, "flashback", "models"), filepath.Join(root, "hf", "hub")
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err is there and says every part.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestParse(t *testing.T) {
	for ref, want := range map[string]reference{
		"hf:o/n":                    {name: "hf:o/n", repo: "o/n", rev: "main"},
		"hf:o/n@v1:f.gguf":          {name: "hf:o/n@v1:f.gguf", repo: "o/n", rev: "v1", file: "f.gguf"},
		"hf:o/n@refs/pr/1:a/f.GGUF": {name: "hf:o/n@refs/pr/1:a/f.GGUF", repo: "o/n", rev: "refs/pr/1", file: "a/f.GGUF"},
		"hf:o/n:q4_k_m":             {name: "hf:o/n:q4_k_m", repo: "o/n", rev: "main", quant: "Q4_K_M"},
		"hf:o/n@v1:safetensors":     {name: "hf:o/n@v1:safetensors", repo: "o/n", rev: "v1", quant: "SAFETENSORS"},
		"./x.gguf":                  {path: "./x.gguf"},
		"dir":                       {path: "dir"},
	} {
		if got, err := parse(ref); err != nil || got != want {
			t.Errorf("parse(%q) = %+v, %v; want %+v", ref, got, err, want)
		}
	}
	for ref, part := range map[string]string{
		"":                         "is empty",
		"hf:":                      "is not owner/name",
		"hf:name":                  "is not owner/name",
		"hf:../n":                  "is not owner/name",
		"hf:o/..":                  "is not owner/name",
		"hf:o/n/m":                 "is not owner/name",
		"hf:o/n@":                  "is not a revision",
		"hf:o/n@../../x":           "is not a revision",
		"hf:o/n@a/../b":            "is not a revision",
		"hf:o/n:":                  "is not a .gguf file",
		"hf:o/n:f.bin":             "is not a .gguf file",
		"hf:o/n:../../f.gguf":      "is not a .gguf file",
		"hf:o/n:/etc/f.gguf":       "is not a .gguf file",
		`hf:o/n:..\f.gguf`:         "is not a .gguf file",
		"hf:o/n:C:/f.gguf":         "is not a .gguf file",
		"hf:o/n:f.gguf\x00/x.gguf": "is not a .gguf file",
	} {
		_, err := parse(ref)
		wantError(t, err, part)
	}
}

// TestKnownNames: a name leads to one place on the hub; where a digest is known the content
// is verified, and may come from elsewhere.
func TestKnownNames(t *testing.T) {
	for _, name := range Names() {
		r, err := parse(name)
		if err != nil || r.repo == "" || r.name != name {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if k := r.known; k != nil && (!digestPattern.MatchString(k.sha256) || k.size == 0 || r.file == "" || len(k.wheels) == 0) {
			t.Errorf("%s: %+v: want a file, its size and digest, and packages", name, k)
		}
	}
}

func TestResolveLocal(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	one, two, none := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "none")
	write(t, filepath.Join(one, "a.gguf"), []byte("abc"))
	write(t, filepath.Join(one, "README.md"), nil)
	write(t, filepath.Join(two, "a.gguf"), nil)
	write(t, filepath.Join(two, "b.gguf"), nil)
	write(t, filepath.Join(none, "a.bin"), nil)
	file := filepath.Join(one, "a.gguf")
	for _, ref := range []string{file, one} {
		if m, err := Resolve(ref); err != nil || m != (Model{file, 3, file, SourceFile}) {
			t.Errorf("Resolve(%q) = %+v, %v", ref, m, err)
		}
	}
	_, err := Resolve(two)
	wantError(t, err, two, "2 .gguf files", "a.gguf, b.gguf")
	_, err = Resolve(none)
	wantError(t, err, none, "no .gguf file")
	_, err = Resolve(filepath.Join(dir, "x.gguf"))
	wantError(t, err, "x.gguf", "smollm2-135m", "hf:owner/name")
	if m, err := Pull(context.Background(), one, &bytes.Buffer{}); err != nil || m.Path != file {
		t.Errorf("Pull of a directory = %+v, %v", m, err)
	}
}

func TestResolveAbsent(t *testing.T) {
	isolate(t)
	for _, ref := range []string{"smollm2-135m", "hf:o/n", "hf:o/n@v1:f.gguf"} {
		_, err := Resolve(ref)
		wantError(t, err, "run: flashback pull "+ref)
	}
	if all, err := Models(); err != nil || len(all) != 0 {
		t.Errorf("Models() = %v, %v; want none", all, err)
	}
}

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// TestResolveCached finds what the Hugging Face tools downloaded, laid out as they
// lay it out, and lists it under names that resolve to it again.
func TestResolveCached(t *testing.T) {
	_, cache := isolate(t)
	repo := filepath.Join(cache, "models--o--n--x") // the repository o/n--x
	write(t, filepath.Join(repo, "refs", "main"), []byte(commitA))
	write(t, filepath.Join(repo, "refs", "refs", "pr", "1"), []byte(commitB))
	a := filepath.Join(repo, "snapshots", commitA, "f.gguf")
	b := filepath.Join(repo, "snapshots", commitB, "sub", "f.gguf")
	c := filepath.Join(repo, "snapshots", commitB, "g.gguf")
	write(t, a, []byte("a"))
	write(t, b, []byte("bb"))
	write(t, c, []byte("ccc"))
	write(t, filepath.Join(repo, "blobs", "0123.incomplete"), []byte("half"))

	for ref, want := range map[string]string{
		"hf:o/n--x":                        a,
		"hf:o/n--x:f.gguf":                 a,
		"hf:o/n--x@refs/pr/1:sub/f.gguf":   b,
		"hf:o/n--x@" + commitB + ":g.gguf": c,
	} {
		if m, err := Resolve(ref); err != nil || m.Path != want || m.Name != ref || m.Source != SourceHub {
			t.Errorf("Resolve(%q) = %+v, %v; want %s", ref, m, err, want)
		}
	}
	_, err := Resolve("hf:o/n--x@" + commitB)
	wantError(t, err, "g.gguf, sub/f.gguf")

	all, err := Models()
	if err != nil || len(all) != 3 {
		t.Fatalf("Models() = %v, %v; want 3", all, err)
	}
	for _, m := range all {
		if again, err := Resolve(m.Name); err != nil || again != m {
			t.Errorf("Resolve(%q) = %+v, %v; want %+v", m.Name, again, err, m)
		}
	}
	t.Setenv("HF_HOME", "")
	t.Setenv("HF_HUB_CACHE", cache)
	if m, err := Resolve("hf:o/n--x"); err != nil || m.Path != a {
		t.Errorf("with HF_HUB_CACHE: %+v, %v", m, err)
	}
}
