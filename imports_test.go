package flashback_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/flashback-lm/flashback"

// layers are the rooms of the house from the ground up: a package imports only
// from layers below its own. docs/architecture.md says what each is for.
var layers = [][]string{
	{"adapters", "internal/atomicfile", "internal/corpus/charset", "internal/device/cuda/driver", "internal/gitignore", "internal/mapped", "internal/placement", "internal/sample", "internal/snippet", "internal/stream", "internal/tensor", "internal/terminal", "internal/tokenizer/jinja", "internal/webpage"},
	{"internal/corpus/office", "internal/lm", "internal/plots", "internal/progress", "internal/tensor/quant"},
	{"internal/checkpoint/gguf", "internal/checkpoint/safetensors", "internal/device/cpu/kernel", "internal/device/cuda/kernel", "internal/folder", "internal/hub", "internal/kvcache", "internal/retrieve", "internal/retrieve/bm25/analysis", "internal/tokenizer"},
	{"internal/corpus/pdf", "internal/device"},
	{"internal/corpus", "internal/device/cpu", "internal/device/cuda", "internal/model", "internal/retrieve/remote", "internal/retrieve/trec"},
	{"internal/lora", "internal/retrieve/bm25"},
	{"internal/merge", "internal/nn", "internal/nn/backward", "internal/oracle"},
	{"internal/collection", "internal/engine", "internal/peer", "internal/ralm"},
	{"internal/library", "internal/trainset"},
	{"internal/bench", "internal/eval", "internal/train"},
	{""},
	{"internal/indexcache", "internal/server"},
	{"cmd/flashback", "examples/", "tools/"},
}

// forTests are packages that only tests import.
var forTests = []string{"internal/device/cuda/driver/fake", "internal/device/cuda/kernel/plain", "internal/hub/hubtest", "internal/model/modeltest", "internal/fixture"}

func layerOf(pkg string) (int, bool) {
	for i, layer := range layers {
		for _, name := range layer {
			if pkg == name || strings.HasSuffix(name, "/") && strings.HasPrefix(pkg, name) {
				return i, true
			}
		}
	}
	return 0, false
}

func TestImportsRunDownward(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	helpers := map[string]bool{}
	for _, p := range forTests {
		helpers[p] = true
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, modulePath), "/")
		if helpers[pkg] {
			continue
		}
		seen++
		at, ok := layerOf(pkg)
		if !ok {
			t.Errorf("%s is in no layer: give it a room in imports_test.go and docs/architecture.md", pkg)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, modulePath) {
				continue
			}
			dep := strings.TrimPrefix(strings.TrimPrefix(imp, modulePath), "/")
			if helpers[dep] {
				t.Errorf("%s imports %s, which is for tests", pkg, dep)
			} else if below, ok := layerOf(dep); ok && below >= at {
				t.Errorf("%s imports %s, which is not below it", pkg, dep)
			}
		}
	}
	if seen < 15 {
		t.Fatalf("go list named %d packages only", seen)
	}
}

// atADevice are the packages and the file that may know which device computes: the
// devices' own with the tool that measures a card's kernels, the file that chooses one for the
// engine, and training, which runs on the CPU only. All others speak to internal/device.
var atADevice = []string{"internal/device/cpu/", "internal/device/cuda/", "tools/cuda/", "internal/engine/choose.go", "internal/nn/backward/", "internal/train/"}

func TestOneFileChoosesTheDevice(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		for _, imp := range file.Imports {
			if !strings.HasPrefix(imp.Path.Value, `"`+modulePath+"/internal/device/") {
				continue
			}
			seen++
			if !slices.ContainsFunc(atADevice, func(at string) bool { return strings.HasPrefix(path, at) }) {
				t.Errorf("%s imports %s: speak to internal/device", path, imp.Path.Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 5 {
		t.Fatalf("%d imports of devices' packages were seen only", seen)
	}
}
