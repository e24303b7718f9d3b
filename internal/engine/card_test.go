package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver"
	"github.com/flashback-lm/flashback/internal/device/cuda/driver/fake"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel/plain"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

// openTestCard opens a card: where there is one and the tests are built with the tag
// cuda, that, and else one in the host's memory, with the kernels in plain Go.
func openTestCard(t testing.TB, o cuda.Options) (d *cuda.Device, real bool) {
	t.Helper()
	d, err := cuda.Open(0, o)
	if errors.Is(err, driver.ErrNone) {
		d, err = cuda.New(plain.New(1<<30), o)
		if err != nil {
			t.Fatal(err)
		}
		return d, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, true
}

// onCard returns an engine on a card.
func onCard(t testing.TB, w *model.Weights, opt Options) *Engine {
	t.Helper()
	d, _ := openTestCard(t, cuda.Options{})
	if opt.BatchTokens == 0 {
		opt.BatchTokens = 64
	}
	if opt.Reserve == 0 {
		opt.Reserve = placement.DefaultReserve
	}
	opt.KVBudget = 16 << 20
	e, err := newEngine(w, d, Fast, KVShape(w.Config, kvcache.F16), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// onFakeCard returns an engine on a card in the host's memory, whatever there is, and the card.
func onFakeCard(t *testing.T, w *model.Weights) (*fake.Card, *Engine) {
	t.Helper()
	card := plain.New(1 << 30)
	d, err := cuda.New(card, cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(w, d, Fast, KVShape(w.Config, kvcache.F16), Options{BatchTokens: 64, KVBudget: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return card, e
}

// cardTolerance bounds the difference of logits from the CPU's in f32, by root mean squares:
// activations, keys and values have 11 bits on the card.
const cardTolerance = 0.01

// TestCardIsExact: with kept keys and values as from nothing, bit for bit, in every
// placement, and near what the CPU computes.
func TestCardIsExact(t *testing.T) {
	for name, p := range layouts(t) {
		if testing.Short() && p.Echo > 1 { // the fake card takes its time
			continue
		}
		t.Run(name, func(t *testing.T) {
			e := onCard(t, modeltest.Tiny(1), Options{})
			for _, k := range []int{1, 3} {
				steps := generate(t, e, p, k, 150, 3)
				if fault := firstDifference(t, e, p, steps); fault != "" {
					t.Errorf("k=%d: %s", k, fault)
				}
				if k == 1 {
					nearTheCPU(t, modeltest.Tiny(1), p, steps, cardTolerance)
				}
			}
		})
	}
}

// nearTheCPU compares the logits of a generation with those of exact compute.
func nearTheCPU(t *testing.T, w *model.Weights, p placement.Placement, steps []step, tolerance float64) {
	t.Helper()
	cpu, err := New(w, Options{Compute: Exact, Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer cpu.Close()
	var differences, squares float64
	for _, st := range steps {
		rows, err := cpu.Recompute(context.Background(), p, st.text, st.evidence, st.sampled)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			for j, want := range row {
				d := float64(st.logits[i][j] - want)
				differences += d * d
				squares += float64(want) * float64(want)
			}
		}
	}
	d := math.Sqrt(differences / squares)
	t.Logf("%.1e from the CPU", d)
	if !(d <= tolerance) {
		t.Errorf("logits differ by %.1e of the CPU's, at most %.1e may", d, tolerance)
	}
}

// TestCardChunksChangeNothing: neither do chunks of other sizes.
func TestCardChunksChangeNothing(t *testing.T) {
	p := layouts(t)["virtual"]
	want := generate(t, onCard(t, modeltest.Tiny(1), Options{BatchTokens: 7}), p, 3, 200, 2)
	for _, rows := range []int{1, 33, 256} {
		got := generate(t, onCard(t, modeltest.Tiny(1), Options{BatchTokens: rows}), p, 3, 200, 2)
		for i := range want {
			sameRows(t, fmt.Sprintf("chunks of %d, stride %d", rows, i), got[i].logits, want[i].logits)
		}
	}
}

// TestCardSequencesAreAlone writes stories of all placements and of adapters side by
// side: each has the logits that it has alone.
func TestCardSequencesAreAlone(t *testing.T) {
	stories := sixteen(t)
	if testing.Short() {
		stories = stories[:9]
	}
	want, _ := writeAlone(t, stories, func() *Engine { return onCard(t, modeltest.Tiny(1), Options{}) })
	writeTogether(t, onCard(t, modeltest.Tiny(1), Options{}), stories, want)
}

// TestCardAdaptersAreExact: with an adapter too.
func TestCardAdaptersAreExact(t *testing.T) {
	for _, activated := range []bool{false, true} {
		e := onCard(t, modeltest.Tiny(1), Options{})
		a := load(t, e, adapter(activated, 1))
		s := e.NewSequence()
		if err := s.SetAdapter(a); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(5, 6, 7, 8, 9); err != nil {
			t.Fatal(err)
		}
		if fault := follow(t, s, a, placement.Append, marked(rand.New(rand.NewPCG(1, 1)), 35)); fault != "" {
			t.Error(fault)
		}
		s.Close()
	}
}

// TestCardFamilies: tiny models of every family, in every placement, have the same bits
// with kept keys and values and without, near those of the CPU.
func TestCardFamilies(t *testing.T) {
	for _, name := range modeltest.Families(t) {
		m := modeltest.Family(t, name)
		for layout, p := range layouts(t) {
			if m.Config.Positions > 0 && p.Evidence == placement.BeforeTurn || testing.Short() && layout != "virtual" {
				continue
			}
			t.Run(name+"/"+layout, func(t *testing.T) {
				e := onCard(t, &m.Weights, Options{})
				steps := generate(t, e, p, 3, 70, 2)
				if d := firstDifference(t, e, p, steps); d != "" {
					t.Error(d)
				}
				nearTheCPU(t, &m.Weights, p, steps, cardTolerance)
			})
		}
	}
}

// TestCardReplaysGraphs: a decoded token is two graphs, blocks and head, of few kernels.
func TestCardReplaysGraphs(t *testing.T) {
	w := modeltest.Tiny(1)
	card, e := onFakeCard(t, w)
	generate(t, e, placement.None, 1, 40, 2)
	_, before := card.Launches()
	kernels, _ := card.Launches()
	generate(t, e, placement.None, 1, 40, 2)
	after, graphs := card.Launches()
	// 32 tokens, of which one a stride comes from a prefill's forward.
	if n := graphs - before; n < 2*30 || n > 2*34 {
		t.Errorf("%d graphs for 32 tokens, want two each", n)
	}
	// Of each layer attention and four products, and a few before and behind.
	if perToken := (after - kernels) / 32; perToken > 5*w.Config.Layers+8 {
		t.Errorf("%d kernels a token of %d layers", perToken, w.Config.Layers)
	}
}

// TestCardFaults: errors of a card say what they are, and what was there before one stays.
func TestCardFaults(t *testing.T) {
	card, e := onFakeCard(t, modeltest.Tiny(1))
	story := sixteen(t)[0]
	want, err := story.write(e, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range []struct {
		call  string
		error error
		want  error
	}{
		{"cuMemAlloc", driver.OutOfMemory("cuMemAlloc"), device.ErrMemory},
		{"cuGraphInstantiate", driver.OutOfMemory("cuGraphInstantiate"), device.ErrMemory},
	} {
		// Texts of other lengths need plans, and perhaps memory, that are not there yet.
		card.Fail = func(call string) error {
			if call == fault.call {
				return fault.error
			}
			return nil
		}
		other := story
		other.prompt, other.passages = 1500, []int{300}
		if _, err := other.write(e, 2); err != nil && !errors.Is(err, fault.want) {
			t.Errorf("%s fails: %v", fault.call, err)
		}
		card.Fail = nil
		got, err := story.write(e, 1)
		if err != nil {
			t.Fatalf("after %s failed: %v", fault.call, err)
		}
		sameRows(t, "after "+fault.call+" failed", got, want)
	}
	card.Fail = func(call string) error {
		if call == "cuStreamSynchronize" {
			return driver.Lost(call)
		}
		return nil
	}
	if _, err := story.write(e, 3); !errors.Is(err, device.ErrLost) {
		t.Errorf("a lost card: %v", err)
	}
	card.Fail = nil
}

// TestCardIsTooSmall: what a card does not hold is refused before anything is loaded.
func TestCardIsTooSmall(t *testing.T) {
	d, err := cuda.New(plain.New(1<<20), cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	err = Options{KVBudget: 64 << 20}.fits(modeltest.Tiny(1), d, d.Free)
	if !errors.Is(err, device.ErrMemory) || !strings.Contains(err.Error(), "64 MiB of keys and values") {
		t.Errorf("a card of a megabyte: %v", err)
	}
	if err := (Options{KVBudget: 64 << 10}).fits(modeltest.Tiny(1), d, func() (int64, error) { return 1 << 30, nil }); err != nil {
		t.Error(err)
	}
}

func TestParseDevice(t *testing.T) {
	for _, name := range []string{"", "auto", "cpu", "cuda", "cuda:0", "cuda:7"} {
		if err := ParseDevice(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"gpu", "cuda:", "cuda:-1", "cuda:x", "cuda0", "cpu:1"} {
		if ParseDevice(name) == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

// TestExplicitCard: what only the CPU does is an error on a card that was asked for, and
// leaves the CPU where the choice is free.
func TestExplicitCard(t *testing.T) {
	w := modeltest.Tiny(1)
	for _, o := range []Options{{Compute: Exact}, {Kernels: "go"}} {
		o.Device = "cuda"
		if _, err := New(w, o); err == nil || !strings.Contains(err.Error(), "--device cpu") {
			t.Errorf("%+v: %v", o, err)
		}
		o.Device = "auto"
		e, err := New(w, o)
		if err != nil {
			t.Fatal(err)
		}
		if name := e.Device().Info().Name; name != "cpu" {
			t.Errorf("%+v runs on %s", o, name)
		}
		e.Close()
	}
	if _, err := New(w, Options{Device: "cuda:99"}); !errors.Is(err, driver.ErrNone) {
		t.Errorf("card 99: %v", err)
	}
}

// hidden is a sampler that must have the logits.
type hidden struct{ lm.Sampler }

// TestCardChooses: the card takes the token that a greedy sampler does, and at a
// temperature those of its seed, whatever was guessed meanwhile.
func TestCardChooses(t *testing.T) {
	write := func(o sample.Options, guesses int, hide bool) []int32 {
		s := onCard(t, modeltest.Tiny(1), Options{}).NewSequence()
		defer s.Close()
		s.LookAhead(guesses)
		sampler, err := sample.New(o)
		if err != nil {
			t.Fatal(err)
		}
		var used lm.Sampler = sampler
		if hide {
			used = hidden{sampler}
		}
		r := rand.New(rand.NewPCG(1, 1))
		if err := s.Append(randomTokens(r, 40)...); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			ev := []lm.Evidence{{Tokens: randomTokens(r, 30), Weight: 1}}
			if _, err := s.Continue(context.Background(), placement.Virtual, ev, 16, used, nil); err != nil {
				t.Fatal(err)
			}
		}
		if chose := s.choosing != nil; chose == hide {
			t.Errorf("the card chose: %v", chose)
		}
		return slices.Clone(s.Tokens())
	}
	greedy := write(sample.Options{}, 0, true)
	for _, o := range []sample.Options{{}, {Temperature: 1, TopK: 1}} {
		if got := write(o, 4, false); !slices.Equal(got, greedy) {
			t.Errorf("%+v: the card chose %v, the sampler %v", o, got[40:], greedy[40:])
		}
	}
	for _, o := range []sample.Options{{Temperature: 0.7, TopK: 20, Seed: 3}, {Temperature: 1.3, TopP: 0.8, Seed: 4}, {Temperature: 1, MinP: 0.05, Seed: 5}} {
		alone, guessed := write(o, 0, false), write(o, 5, false)
		if !slices.Equal(alone, guessed) || slices.Equal(alone, greedy) {
			t.Errorf("%+v: %v, with guesses %v", o, alone[40:], guessed[40:])
		}
	}
}

// TestCardFormats: weights of every kind of storage give what the CPU makes of the same
// weights, 8 bits with a scale a row what such rounding leaves, and exactly so whether they
// were kept or computed again.
func TestCardFormats(t *testing.T) {
	for _, tt := range []struct {
		name      string
		stored    tensor.Type
		float8    bool
		tolerance float64
	}{
		{"f16", tensor.F16, false, cardTolerance}, {"bf16", tensor.BF16, false, 0.05},
		{"q8_0", tensor.Q8_0, false, cardTolerance}, {"q4_0", tensor.Q4_0, false, cardTolerance},
		{"q4_1", tensor.Q4_1, false, cardTolerance}, {"fp8", tensor.F16, true, 0.3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := storedAs(t, modeltest.Tiny(1), tt.stored)
			d, _ := openTestCard(t, cuda.Options{F8: tt.float8})
			e, err := newEngine(w, d, Fast, KVShape(w.Config, kvcache.F16), Options{BatchTokens: 64, KVBudget: 16 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			p := layouts(t)["append"]
			steps := generate(t, e, p, 1, 80, 2)
			if fault := firstDifference(t, e, p, steps); fault != "" {
				t.Error(fault)
			}
			nearTheCPU(t, w, p, steps, tt.tolerance)
		})
	}
}

// storedAs returns a model with its matrices stored as a type.
func storedAs(t *testing.T, w *model.Weights, to tensor.Type) *model.Weights {
	t.Helper()
	out := *w
	out.Layers = slices.Clone(w.Layers)
	for s, m := range out.All() {
		if !s.Role.Projection() || m.Rows == 0 {
			continue
		}
		stored := tensor.Matrix{Name: m.Name, Type: to, Rows: m.Rows, Cols: m.Cols}
		row := make([]float32, m.Cols)
		for i := range m.Rows {
			quant.Row(row, *m, i)
			switch to {
			case tensor.F16:
				for _, v := range row {
					stored.Data = binary.LittleEndian.AppendUint16(stored.Data, tensor.ToHalf(v))
				}
			case tensor.BF16:
				for _, v := range row {
					stored.Data = binary.LittleEndian.AppendUint16(stored.Data, uint16(math.Float32bits(v)>>16))
				}
			case tensor.Q4_1: // as Q4_0 has it: (q - 8)·d
				data, err := quant.Quantize(tensor.Q4_0, row)
				if err != nil {
					t.Fatal(err)
				}
				for ; len(data) > 0; data = data[18:] {
					d := tensor.FromHalf(binary.LittleEndian.Uint16(data))
					stored.Data = append(stored.Data, data[:2]...)
					stored.Data = binary.LittleEndian.AppendUint16(stored.Data, tensor.ToHalf(-8*d))
					stored.Data = append(stored.Data, data[2:18]...)
				}
			default:
				data, err := quant.Quantize(to, row)
				if err != nil {
					t.Fatal(err)
				}
				stored.Data = append(stored.Data, data...)
			}
		}
		*m = stored
	}
	return &out
}

// TestCardMakesUpWeights: a shape without data is a model that writes something.
func TestCardMakesUpWeights(t *testing.T) {
	w := *modeltest.Tiny(1)
	w.Layers = slices.Clone(w.Layers)
	for s, m := range w.All() {
		m.Data = nil
		if s.Role == model.Down {
			m.Type = tensor.Q8_0
		}
	}
	s := onCard(t, &w, Options{}).NewSequence()
	defer s.Close()
	if err := s.Append(1, 2, 3); err != nil {
		t.Fatal(err)
	}
	tokens, err := s.Continue(context.Background(), placement.None, nil, 8, sample.Greedy(), nil)
	if err != nil || len(tokens) != 8 {
		t.Errorf("%v, %v", tokens, err)
	}
}
