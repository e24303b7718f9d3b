package ralm_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// The exactness of the real model takes hours in full:
//
//	go test ./internal/ralm -run TestExactnessOfTheModel -v -timeout 0 -prompts 50 -tokens 128 -passage 128 -oracle 1
var (
	prompts = flag.Int("prompts", 4, "prompts of the exactness test on the real model")
	length  = flag.Int("tokens", 48, "tokens generated a prompt")
	passage = flag.Int("passage", 48, "tokens of a passage")
	every   = flag.Int("oracle", 8, "the oracle checks every nth stride")
)

// The tolerances bound the difference between the engine and the oracle, which
// round in their own order: through 2 layers, with logits up to 30, in the tiny
// random model, and through 30 layers in the real one.
const (
	tinyTolerance  = 2e-3
	modelTolerance = 2e-3
)

// shelves are passages; a query leads to k of them, often other ones than the
// query before, and in time the same ones again.
type shelves []string

func (s shelves) Retrieve(_ context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	sum := 0
	for _, b := range []byte(q.Text) {
		sum += int(b)
	}
	var found []retrieve.Passage
	for i := range q.K {
		at := (sum%4 + 3*i) % len(s)
		// The scores 10, 9.5 and 9 weigh .51, .31 and .19: the branches do mix.
		found = append(found, retrieve.Passage{ID: fmt.Sprint(at), Text: s[at], Score: 10 - .5*float64(i)})
	}
	return found, nil
}

// exactness generates from the prompts with kept KV, verifies every stride, and
// reports.
func exactness(t *testing.T, e *engine.Engine, tk ralm.Tokenizer, r retrieve.Retriever, v *ralm.Verifier, o ralm.Options, prompts [][]int32) {
	t.Helper()
	o.Record = v.Record
	strides := 0
	for _, prompt := range prompts {
		s := e.NewSequence()
		for event, err := range ralm.New(s, tk, r).Generate(t.Context(), prompt, o) {
			if err != nil {
				t.Fatal(err)
			}
			if st, ok := event.(ralm.Stride); ok {
				strides++
				for _, p := range st.Passages {
					if o.K > 1 && p.Weight > .8 {
						t.Errorf("a weight of %v hardly mixes", p.Weight)
					}
				}
			}
		}
		s.Close()
	}
	report := v.Report()
	t.Logf("%+v", report)
	if report.First != nil {
		t.Error(report.First)
	}
	if report.Strides != strides || report.Tokens != len(prompts)*o.MaxTokens || v.Oracle != nil && report.OracleStrides == 0 {
		t.Errorf("%+v: not all of %d strides and %d tokens were checked", report, strides, len(prompts)*o.MaxTokens)
	}
}

func echo16(t *testing.T, p placement.Placement) placement.Placement {
	t.Helper()
	p, err := p.WithEcho(16)
	if err != nil {
		t.Fatal(err)
	}
	p.Name += "-echo16"
	return p
}

// TestExactness is the first promise on the tiny model, in full: what is
// generated with kept KV equals recomputing, bit for bit by the same kernels and
// within rounding by the oracle.
func TestExactness(t *testing.T) {
	w := modeltest.Tiny(1)
	e, err := engine.New(w, engine.Options{Compute: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	tinyExactness(t, e, oracle.New(w))
}

// TestExactnessOnACard is that where there is a card, but for the oracle: a card rounds in
// another way.
func TestExactnessOnACard(t *testing.T) {
	o := engine.Options{Device: "cuda"}
	if _, err := o.FindCard(); err != nil {
		t.Skip(err)
	}
	e, err := engine.New(modeltest.Tiny(1), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	tinyExactness(t, e, nil)
}

func tinyExactness(t *testing.T, e *engine.Engine, check ralm.Recomputer) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	var passages shelves
	for i := range 8 {
		text := make([]byte, 20+13*i)
		for j := range text {
			text[j] = byte(r.UintN(256))
		}
		passages = append(passages, string(text))
	}
	var prompts [][]int32
	count := 4
	if testing.Short() {
		count = 1
	}
	for range count {
		prompt := make([]int32, 6+r.IntN(60))
		for i := range prompt {
			prompt[i] = r.Int32N(300)
		}
		prompts = append(prompts, prompt)
	}
	chat := placement.Prepend
	chat.At, chat.Name = 5, "prepend-in-chat"
	for _, p := range append([]placement.Placement{echo16(t, placement.Append), echo16(t, placement.Virtual), chat}, placement.All...) {
		for _, k := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/k=%d", p.Name, k), func(t *testing.T) {
				v := &ralm.Verifier{Engine: e, Oracle: check, Tolerance: tinyTolerance}
				o := ralm.Defaults()
				o.Placement, o.K, o.MaxTokens = p, k, 48
				o.Marks = &ralm.Marks{Left: 280, Right: 281}
				exactness(t, e, bytes{}, passages, v, o, prompts)
			})
		}
	}
}

// TestExactnessOfTheModel is the same on the real model, with prompts and
// passages of Go's documentation.
func TestExactnessOfTheModel(t *testing.T) {
	if testing.Short() {
		t.Skip("the real model takes too long for -short")
	}
	m, err := model.Load(hubtest.Model(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	e, err := engine.New(&m.Weights, engine.Options{Compute: engine.Exact})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	// The text is cut into 16 pieces: the even ones are passages, the others begin
	// with the prompts, of 12 to 35 tokens.
	text := documentation(t)
	var passages shelves
	for at := 0; at < len(text); at += 256 {
		passages = append(passages, m.Tokenizer.Decode(text[at:at+128]))
	}
	var starts [][]int32
	for i := range *prompts {
		at := 128 + i*256%len(text) + i/8*13
		starts = append(starts, text[at:at+12+i*7%24])
	}
	for _, p := range []placement.Placement{placement.Append, echo16(t, placement.Append), placement.Virtual, echo16(t, placement.Virtual)} {
		for _, k := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/k=%d", p.Name, k), func(t *testing.T) {
				v := &ralm.Verifier{Engine: e, Oracle: oracle.New(&m.Weights), Tolerance: modelTolerance, OracleEvery: *every}
				o := ralm.Defaults()
				o.Placement, o.K, o.MaxTokens, o.PassageLen = p, k, *length, *passage
				exactness(t, e, m.Tokenizer, passages, v, o, starts)
			})
		}
	}
}

// documentation returns 2048 tokens of the package fmt's documentation, of the
// fixture that tools/reference/llama_logits.py made.
func documentation(t *testing.T) []int32 {
	t.Helper()
	f, err := os.Open("../engine/testdata/logits.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids := make([]int32, 2048)
	if err := binary.Read(f, binary.LittleEndian, ids); err != nil {
		t.Fatal(err)
	}
	return ids
}
