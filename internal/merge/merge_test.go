package merge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/fixture"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// The marks of an adapter of the tiny model.
const left, right = 300, 301

// base returns the tiny model in a file of its own.
func base(t testing.TB, tied bool) *model.Model {
	t.Helper()
	w := modeltest.Tiny(1)
	if !tied {
		w.Tensors[model.Head] = modeltest.Tiny(2).Tensors[model.Embedding]
		w.Tensors[model.Head].Name = "output"
	}
	return open(t, modeltest.WriteGGUF(t, w))
}

func open(t testing.TB, path string) *model.Model {
	t.Helper()
	m, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// adapter returns an adapter on every projection, with marks, that changes the
// logits a good deal.
func adapter(m *model.Model) *lora.Adapter {
	c := lora.Config{Rank: 5, Alpha: 4, Targets: []model.Role{model.Q, model.K, model.V, model.O, model.Gate, model.Up, model.Down}}
	a := lora.New(c, lora.ShapeOf(&m.Weights), 3)
	a.AddMarks(quant.MeanRow(m.Tensors[model.Embedding]), 3)
	r := rand.New(rand.NewPCG(3, 3))
	for _, values := range a.Tensors() {
		for i := range values {
			values[i] += float32(0.1 * r.NormFloat64())
		}
	}
	a.Info.Base = m.Digest()
	return a
}

func merger(t testing.TB, m *model.Model, a *lora.Adapter) *Merger {
	t.Helper()
	merged, err := New(m, a)
	if err != nil {
		t.Fatal(err)
	}
	return merged
}

// text has a byte that one test gives a row of its own; marked has both marks, too.
var (
	text   = []int32{72, 105, 46, 7, 299, 120, 99, 12, 7, 0}
	marked = []int32{72, 105, left, 46, 7, 299, right, 120, 99, 12, 7, 0}
)

// logits returns those of a text in exact compute, with the adapter unmerged if there
// is one.
func logits(t testing.TB, m *model.Model, a *lora.Adapter, text []int32) [][]float32 {
	t.Helper()
	e, err := engine.New(&m.Weights, engine.Options{Compute: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	recompute := e.Recompute
	if a != nil {
		loaded, err := e.LoadAdapter(a)
		if err != nil {
			t.Fatal(err)
		}
		recompute = loaded.Recompute
	}
	rows, err := recompute(context.Background(), placement.None, text[:1], nil, text[1:])
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// distance returns the largest difference of logits over the vocabulary of want.
func distance(got, want [][]float32) float64 {
	worst := 0.0
	for i, row := range want {
		for j, l := range row {
			worst = max(worst, math.Abs(float64(got[i][j]-l)))
		}
	}
	return worst
}

// replaced gives a token of the base's a row.
func replaced(a *lora.Adapter) {
	row := make([]float32, a.Shape.Hidden)
	if len(a.Rows) > 0 {
		copy(row, a.Rows[0].Embedding)
	}
	row[0]++
	a.Rows = slices.Insert(a.Rows, 0, lora.Row{Token: 7, Embedding: row})
}

func markless(a *lora.Adapter) { a.Rows, a.Info.Marks = nil, nil }

// saved returns noise in the place of a tensor.
func saved(a *lora.Adapter, r model.Role, layer int) lora.Saved {
	s := a.Shape.Norms[r]
	if r == model.Head {
		s = a.Shape.Head
	}
	if strings.Contains(s.HuggingFace, "%d") {
		s = s.In(layer)
	}
	values := fixture.Noise(s.HuggingFace, s.Rows*s.Cols, 1, 1)
	return lora.Saved{Spec: s, Matrix: tensor.Matrix{Name: s.GGUF, Type: tensor.F32, Rows: s.Rows, Cols: s.Cols, Data: safetensors.F32("", values).Data}}
}

// factor returns noise of rank 2.
func factor(in, out int) *lora.Factor {
	return &lora.Factor{Rank: 2, In: in, Out: out, Scale: 2, A: fixture.Noise("A", 2*in, 0.3, 0), B: fixture.Noise("B", 2*out, 0.3, 0)}
}

// TestGGUF holds the logits of merged files to those of the unmerged adapter. In
// f32 the two differ by the order of a few hundred sums (5e-5 is seen), in f16 by
// weights that are rounded by 2^-11 of their size (0.07 is seen, on logits of some tens).
func TestGGUF(t *testing.T) {
	for _, c := range []struct {
		name string
		tied bool
		edit func(*lora.Adapter)
		text []int32
		own  bool // the merged model has a head of its own
	}{
		{"tied", true, func(*lora.Adapter) {}, marked, false},
		{"own head", false, func(*lora.Adapter) {}, marked, true},
		{"tied, a row replaced", true, replaced, marked, true},
		{"own head, a row replaced", false, replaced, marked, true},
		{"no marks", true, markless, text, false},
		{"norms", true, func(a *lora.Adapter) {
			markless(a)
			a.Saved = []lora.Saved{saved(a, model.AttnNorm, 1), saved(a, model.OutputNorm, 0)}
		}, text, false},
		{"a head saved", true, func(a *lora.Adapter) { markless(a); a.Saved = []lora.Saved{saved(a, model.Head, 0)} }, text, true},
		{"a factor of the head", true, func(a *lora.Adapter) { markless(a); a.Head = factor(64, 300) }, text, true},
		{"a factor of the embedding", true, func(a *lora.Adapter) { markless(a); a.Embedding = factor(300, 64) }, text, true},
		{"rows of both", true, func(a *lora.Adapter) { markless(a); replaced(a); a.TiedRows = true }, text, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := base(t, c.tied)
			a := adapter(m)
			c.edit(a)
			want := logits(t, m, a, c.text)
			if moved := distance(logits(t, m, nil, text), logits(t, m, a, text)); moved < 1 {
				t.Fatalf("the adapter moves logits by %g only", moved)
			}
			for typ, tolerance := range map[tensor.Type]float64{tensor.F32: 2e-4, tensor.F16: 0.2} {
				path := filepath.Join(t.TempDir(), "merged.gguf")
				if err := merger(t, m, a).WriteGGUF(path, typ); err != nil {
					t.Fatal(err)
				}
				merged := open(t, path)
				got := logits(t, merged, nil, c.text)
				d := distance(got, want)
				t.Logf("%s: logits differ by %.2g at most", typ, d)
				if !(d <= tolerance) {
					t.Errorf("%s: logits differ by %g, %g allowed", typ, d, tolerance)
				}
				if own := merged.Tensors[model.Head].Name != merged.Tensors[model.Embedding].Name; own != c.own {
					t.Errorf("a head of its own: %v", own)
				}
				if merged.Layers[0][model.Q].Type != typ || merged.Tensors[model.OutputNorm].Type != tensor.F32 {
					t.Errorf("matrices are %s, vectors %s", merged.Layers[0][model.Q].Type, merged.Tensors[model.OutputNorm].Type)
				}
				for _, row := range got {
					if c.own && len(row) > left && row[left] >= slices.Max(row[:left]) {
						t.Errorf("the logit of a mark is %v, the largest one", row[left])
					}
				}
			}
		})
	}
}

// TestVocabulary looks for the marks in the lists of the merged file, and for all that
// is not theirs as it was.
func TestVocabulary(t *testing.T) {
	m := base(t, true)
	path := filepath.Join(t.TempDir(), "merged.gguf")
	if err := merger(t, m, adapter(m)).WriteGGUF(path, tensor.F32); err != nil {
		t.Fatal(err)
	}
	before, after := openGGUF(t, m.Path), openGGUF(t, path)
	changed := map[string]any{
		"llama.vocab_size":          uint32(302),
		"tokenizer.ggml.tokens":     append(value(t, before, "tokenizer.ggml.tokens").([]string), lora.LeftMark, lora.RightMark),
		"tokenizer.ggml.token_type": append(value(t, before, "tokenizer.ggml.token_type").([]int32), tokenizer.TypeControl, tokenizer.TypeControl),
		"tokenizer.ggml.scores":     make([]float32, 302),
	}
	if !slices.Equal(before.Keys(), after.Keys()) {
		t.Errorf("keys %v", after.Keys())
	}
	for _, key := range before.Keys() {
		want, ok := changed[key]
		if !ok {
			want = value(t, before, key)
		}
		if got := value(t, after, key); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	merged := open(t, path)
	if id, ok := merged.Tokenizer.ID(lora.RightMark); id != right || !ok || !merged.Tokenizer.IsControl(right) {
		t.Errorf("%s is %d", lora.RightMark, id)
	}
	if ids := merged.Tokenizer.Encode(lora.LeftMark); slices.Contains(ids, left) {
		t.Error("text becomes a mark")
	}
}

func openGGUF(t testing.TB, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func value(t testing.TB, f *gguf.File, key string) any {
	t.Helper()
	v, err := f.Value(key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestHuggingFace reads the directory back. A tensor must be what merging in float64
// gives, with rows of q and k where transformers pairs them: half a head apart.
func TestHuggingFace(t *testing.T) {
	m := base(t, true)
	a := adapter(m)
	dir := filepath.Join(t.TempDir(), "merged")
	if err := merger(t, m, a).WriteHuggingFace(dir, tensor.F32); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	theirs := map[string]safetensors.Tensor{}
	for _, tensor := range f.Tensors {
		theirs[tensor.Name] = tensor
	}
	if len(theirs) != 2+9*2 {
		t.Errorf("%d tensors", len(theirs))
	}
	const hidden, headDim = 64, 16
	for _, c := range []struct {
		name   string
		stored tensor.Matrix
		factor *lora.Factor
		from   func(row int) int // where the row of transformers' is in the model
	}{
		{"self_attn.q_proj", m.Layers[1][model.Q], a.Layers[1][model.Q], neighbours},
		{"self_attn.k_proj", m.Layers[1][model.K], a.Layers[1][model.K], neighbours},
		{"self_attn.v_proj", m.Layers[1][model.V], a.Layers[1][model.V], same},
		{"self_attn.o_proj", m.Layers[1][model.O], a.Layers[1][model.O], same},
		{"mlp.down_proj", m.Layers[1][model.Down], a.Layers[1][model.Down], same},
	} {
		got := theirs["model.layers.1."+c.name+".weight"]
		if !slices.Equal(got.Shape, []int{c.stored.Rows, c.stored.Cols}) {
			t.Fatalf("%s is %v", c.name, got.Shape)
		}
		values, f := got.Floats(), c.factor
		for row := range c.stored.Rows {
			from := c.from(row)
			for i := range c.stored.Cols {
				want := float64(math.Float32frombits(binary.LittleEndian.Uint32(c.stored.Row(from)[4*i:])))
				for r := range f.Rank {
					want += float64(f.Scale) * float64(f.B[from*f.Rank+r]) * float64(f.A[r*f.In+i])
				}
				// Seven roundings in f32, of numbers of order 1.
				if d := math.Abs(float64(values[row*c.stored.Cols+i]) - want); !(d < 1e-6) {
					t.Fatalf("%s[%d, %d] differs by %g", c.name, row, i, d)
				}
			}
		}
	}
	table := theirs["model.embed_tokens.weight"]
	if rows := table.Floats(); !slices.Equal(table.Shape, []int{302, hidden}) || !slices.Equal(rows[right*hidden:], a.Rows[1].Embedding) {
		t.Errorf("the embedding is %v, or its last row is not the right mark's", table.Shape)
	}
	config := readJSON(t, filepath.Join(dir, "config.json"))
	for key, want := range map[string]any{"vocab_size": 302.0, "tie_word_embeddings": true, "head_dim": 16.0, "eos_token_id": 256.0, "torch_dtype": "float32", "rms_norm_eps": 1e-5} {
		if config[key] != want {
			t.Errorf("%s is %v, want %v", key, config[key], want)
		}
	}
	if marks := readJSON(t, filepath.Join(dir, "generation_config.json"))["suppress_tokens"]; !reflect.DeepEqual(marks, []any{300.0, 301.0}) {
		t.Errorf("suppressed are %v", marks)
	}
	if added := readJSON(t, filepath.Join(dir, "tokenizer.json"))["added_tokens"].([]any); len(added) != 3 {
		t.Errorf("added tokens: %v", added)
	}
}

// TestSlabs writes a head at a time: the files must be those of one slab a matrix.
func TestSlabs(t *testing.T) {
	m := base(t, false)
	a := adapter(m)
	replaced(a)
	for _, typ := range []tensor.Type{tensor.F32, tensor.F16} {
		var files [2][2][]byte
		for i, slab := range []int{1 << 20, 1} {
			merged := merger(t, m, a)
			merged.slab = slab
			file, dir := filepath.Join(t.TempDir(), "merged.gguf"), filepath.Join(t.TempDir(), "merged")
			if err := errors.Join(merged.WriteGGUF(file, typ), merged.WriteHuggingFace(dir, typ)); err != nil {
				t.Fatal(err)
			}
			for j, path := range []string{file, filepath.Join(dir, "model.safetensors")} {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				files[i][j] = data
			}
		}
		if !reflect.DeepEqual(files[0], files[1]) {
			t.Errorf("%s: the files of small slabs differ", typ)
		}
	}
}

// neighbours returns the model's row of transformers' row of a query or key: rows
// half a head apart become neighbours.
func neighbours(row int) int {
	const half = 8
	head, at := row/(2*half), row%(2*half)
	if at < half {
		return head*2*half + 2*at
	}
	return head*2*half + 2*(at-half) + 1
}

func same(row int) int { return row }

func readJSON(t testing.TB, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*lora.Adapter)
		want string
	}{
		{"activated", func(a *lora.Adapter) { a.Info.Activated = true }, "activated"},
		{"another base", func(a *lora.Adapter) { a.Info.Base = strings.Repeat("0", 64) }, "000000000000…"},
		{"fewer layers", func(a *lora.Adapter) { a.Layers = a.Layers[1:] }, "1 layers"},
		{"another shape", func(a *lora.Adapter) { a.Layers[0][model.V].In = 32 }, "[32, 32]"},
		{"nameless rows", func(a *lora.Adapter) { a.Info.Marks = nil }, "token 300"},
		{"a gap", func(a *lora.Adapter) { a.Rows, a.Info.Marks = a.Rows[1:], &lora.Marks{Left: 5, Right: right} }, "must be 300"},
	} {
		m := base(t, true)
		a := adapter(m)
		c.edit(a)
		if _, err := New(m, a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// TestWritesWholeOrNot asks for what cannot be written, and for what is there.
func TestWritesWholeOrNot(t *testing.T) {
	m := base(t, true)
	for _, c := range []struct {
		name  string
		value float32
		typ   tensor.Type
		want  string
	}{
		{"too large for half precision", 70000, tensor.F16, "weight 3 of row 301 is 70000, too large for F16"},
		{"rounds to infinity", 65520, tensor.F16, "too large"},
		{"the largest", 65519, tensor.F16, ""},
		{"no number", float32(math.NaN()), tensor.F32, "is NaN"},
	} {
		a := adapter(m)
		a.Rows[1].Embedding[3] = c.value
		merged := merger(t, m, a)
		for format, write := range map[string]func(string, tensor.Type) error{"gguf": merged.WriteGGUF, "hf": merged.WriteHuggingFace} {
			dir := t.TempDir()
			path := filepath.Join(dir, "merged")
			err := write(path, c.typ)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, %s: %v, want %q", c.name, format, err, c.want)
			}
			if entries, _ := os.ReadDir(dir); err != nil && len(entries) > 0 {
				t.Errorf("%s, %s: %v is left", c.name, format, entries)
			}
			if err != nil {
				continue
			}
			if err := write(path, c.typ); err == nil || !strings.Contains(err.Error(), "there already") {
				t.Errorf("%s, over what is there: %v", format, err)
			}
		}
	}
	if err := merger(t, m, adapter(m)).WriteGGUF(m.Path, tensor.F32); err == nil {
		t.Error("the base was overwritten")
	}
}

func TestType(t *testing.T) {
	if _, err := Type("q4_0"); err == nil {
		t.Error("quantised")
	}
}

// TestRotaryFactors: bases whose rotary frequencies are scaled are merged for transformers
// too; what the directory says is read again as it was.
func TestRotaryFactors(t *testing.T) {
	for name, c := range map[string]struct {
		factors []float32
		kind    string
	}{
		"one":  {slices.Repeat([]float32{4}, 8), "linear"},
		"each": {[]float32{1, 1, 1, 1.5, 2.5, 4, 8, 8}, "longrope"},
	} {
		w := modeltest.Tiny(1)
		f, err := gguf.Open(modeltest.WriteGGUF(t, w))
		if err != nil {
			t.Fatal(err)
		}
		var out gguf.Writer
		for _, key := range f.Keys() {
			out.Set(key, value(t, f, key))
		}
		for _, m := range f.Tensors() {
			out.Add(m)
		}
		out.Add(tensor.Matrix{Name: "rope_freqs.weight", Type: tensor.F32, Rows: 1, Cols: 8, Data: safetensors.F32("", c.factors).Data})
		path := filepath.Join(t.TempDir(), "scaled.gguf")
		if err := out.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		f.Close()
		m := open(t, path)
		a := adapter(m)
		markless(a)
		dir := filepath.Join(t.TempDir(), "merged")
		if err := merger(t, m, a).WriteHuggingFace(dir, tensor.F32); err != nil {
			t.Fatal(err)
		}
		var config struct {
			Scaling struct {
				Type string `json:"rope_type"`
			} `json:"rope_scaling"`
		}
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil || json.Unmarshal(data, &config) != nil || config.Scaling.Type != c.kind {
			t.Errorf("%s: %v, %s", name, err, data)
		}
		merged := open(t, dir)
		if d := distance(logits(t, merged, nil, text), logits(t, m, a, text)); !(d < 2e-4) {
			t.Errorf("%s: logits differ by %g", name, d)
		}
	}
}
