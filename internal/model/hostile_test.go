package model_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// TestHostileNumbers sets every number of every family's file to what it cannot be, or may
// be by accident: the model opens or there is an error that names the file.
func TestHostileNumbers(t *testing.T) {
	values := []any{uint32(0), uint32(1), uint32(3), uint32(46), uint32(62), uint32(math.MaxUint32), int32(-1), float32(math.NaN()), float32(math.Inf(1)), float32(-2), "text", []bool{true}}
	opened, refused := 0, 0
	seen, changed := map[string]bool{}, filepath.Join(t.TempDir(), "changed.gguf")
	for _, name := range modeltest.Families(t) {
		path := modeltest.Family(t, name).Path
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		arch, err := f.String("general.architecture")
		if err != nil {
			t.Fatal(err)
		}
		if seen[arch] && name != "llama-yarn" {
			f.Close()
			continue
		}
		seen[arch] = true
		keys := []string{arch + ".attention.sliding_window_pattern", arch + ".rope.scaling.factor", arch + ".rope.scaling.yarn_beta_fast"}
		for _, key := range f.Keys() {
			if strings.HasPrefix(key, arch+".") {
				keys = append(keys, key)
			}
		}
		for _, key := range keys {
			for _, value := range values {
				var out gguf.Writer
				for _, k := range f.Keys() {
					v, err := f.Value(k)
					if err != nil {
						t.Fatal(err)
					}
					out.Set(k, v)
				}
				out.Set(key, value)
				for _, m := range f.Tensors() {
					out.Add(m)
				}
				var b bytes.Buffer
				if err := out.Encode(&b); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(changed, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				m, err := model.Load(changed)
				switch {
				case err == nil:
					opened++
					m.Close()
				case !strings.Contains(err.Error(), "changed.gguf"):
					t.Errorf("%s, %s = %v: %v", name, key, value, err)
				default:
					refused++
				}
			}
		}
		f.Close()
	}
	t.Logf("%d opened, %d refused", opened, refused)
}
