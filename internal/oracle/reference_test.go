package oracle_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
)

// tolerance bounds the difference to transformers in f32: both round in their
// own order through 30 layers.
const tolerance = 2e-3

// TestReference compares with what transformers makes of the same file, given
// the same tokens, positions and dense mask (tools/reference/llama_logits.py).
// The oracle is slow: of the recorded contexts this is the first that is longer
// than the echo of 16. The engine is compared with all of them.
func TestReference(t *testing.T) {
	m, err := model.Load(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := oracle.New(&m.Weights)
	ref := readReference(t)
	for i, c := range ref.Cases {
		p, err := placement.Parse(c.Placement)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = p.WithEcho(c.Echo); err != nil {
			t.Fatal(err)
		}
		if len(c.Context) != 17 {
			continue
		}
		t.Run(fmt.Sprintf("%s/echo=%d/context=%d/passages=%d", c.Placement, c.Echo, len(c.Context), len(c.Evidence)), func(t *testing.T) {
			rows, err := o.Logits(context.Background(), p, c.Context, c.Evidence, c.Target)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for j, row := range rows {
				for k, id := range ref.probes {
					worst = max(worst, math.Abs(float64(row[id]-ref.logit(i, j, k))))
				}
			}
			t.Logf("max abs difference %.1e", worst)
			if worst > tolerance {
				t.Errorf("logits differ by up to %.1e, at most %.0e is rounding", worst, tolerance)
			}
		})
	}
}

// reference is the fixture: logits [cases, targets, probes].
type reference struct {
	Cases []struct {
		Placement       string
		Echo            int
		Context, Target []int32
		Evidence        [][]int32
	}
	Tensors []struct {
		Name   string
		Shape  []int
		Offset int
	}
	probes []int32
	shape  []int
	logits []byte
}

func (r *reference) logit(i, j, k int) float32 {
	at := (i*r.shape[1]+j)*r.shape[2] + k
	return math.Float32frombits(binary.LittleEndian.Uint32(r.logits[4*at:]))
}

func readReference(t *testing.T) *reference {
	t.Helper()
	dir := filepath.Join("..", "engine", "testdata")
	raw, err := os.ReadFile(filepath.Join(dir, "placements.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &reference{}
	if err := json.Unmarshal(raw, r); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "placements.bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range r.Tensors {
		switch tensor.Name {
		case "probes":
			for i := range tensor.Shape[0] {
				r.probes = append(r.probes, int32(binary.LittleEndian.Uint32(data[tensor.Offset+4*i:])))
			}
		case "logits":
			r.shape, r.logits = tensor.Shape, data[tensor.Offset:]
		}
	}
	return r
}
