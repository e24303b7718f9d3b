package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
)

// damaged returns the tiny model with a head of its own, in which one number of a tensor
// is v.
func damaged(role model.Role, layer, at int, v float32) *model.Weights {
	w := modeltest.Tiny(1)
	w.Tensors[model.Head].Name = "output.weight"
	m := &w.Tensors[role]
	if role < model.Embedding {
		m = &w.Layers[layer][role]
	}
	m.Data = slices.Clone(m.Data)
	binary.LittleEndian.PutUint32(m.Data[4*at:], math.Float32bits(v))
	return w
}

// TestWeightsThatAreNoNumbers: whichever weight is none, loading or the first token says
// so, and names it.
func TestWeightsThatAreNoNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, w := range map[string]*model.Weights{
		"blk.0.attn_q.weight":    damaged(model.Q, 0, 5, nan),
		"blk.1.ffn_down.weight":  damaged(model.Down, 1, 700, inf),
		"blk.1.attn_norm.weight": damaged(model.AttnNorm, 1, 3, nan),
		"output_norm.weight":     damaged(model.OutputNorm, 0, 63, -inf),
		"output.weight":          damaged(model.Head, 0, 299*64, nan),
		"token_embd.weight":      damaged(model.Embedding, 0, 9*64+1, inf),
	} {
		for _, compute := range []Compute{Exact, Fast} {
			e, err := New(w, Options{Compute: compute})
			if err == nil {
				s := e.NewSequence()
				s.Append(9, 9, 9)
				_, err = s.Continue(context.Background(), placement.None, nil, 4, pickGreedy, nil)
				if !errors.Is(err, ErrNotFinite) {
					t.Errorf("%s, %s: error %v", name, compute, err)
				}
				if s.Len() != 3 {
					t.Errorf("%s, %s: the text has %d tokens", name, compute, s.Len())
				}
				if _, err := s.Score(context.Background(), placement.None, nil, []int32{1}); !errors.Is(err, ErrNotFinite) {
					t.Errorf("%s, %s: scored with %v", name, compute, err)
				}
				s.Close()
				e.Close()
			}
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "row 0") && !strings.Contains(err.Error(), "of row") {
				t.Errorf("%s, %s: error %v does not name it", name, compute, err)
			}
		}
	}
}

// TestOverflowIsNamed: numbers that are too large only together are said to be so.
func TestOverflowIsNamed(t *testing.T) {
	w := damaged(model.OutputNorm, 0, 0, math.MaxFloat32)
	e, err := New(w, Options{Compute: Exact})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := e.NewSequence()
	defer s.Close()
	s.Append(1, 2)
	_, err = s.Continue(context.Background(), placement.None, nil, 1, pickGreedy, nil)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
}

// TestNeighboursOfNoNumbers: sequences that read a damaged embedding end; others that
// share chunks with them, and pages after them, have the very logits that they have on
// a sound model.
func TestNeighboursOfNoNumbers(t *testing.T) {
	const bad = 299
	clean := func(r *rand.Rand) []int32 {
		tokens := randomTokens(r, 40)
		for i := range tokens {
			tokens[i] %= bad
		}
		return tokens
	}
	write := func(e *Engine, seed uint64, poisoned bool) (logits [][]float32, err error) {
		s := e.NewSequence()
		defer s.Close()
		s.Append(clean(rand.New(rand.NewPCG(seed, 9)))...)
		if poisoned {
			s.Append(bad)
		}
		for range 3 {
			_, err = s.Continue(context.Background(), placement.None, nil, 7, pick(func(l []float32) int32 {
				logits = append(logits, slices.Clone(l))
				return greedy(l[:bad])
			}), nil)
			if err != nil {
				return nil, err
			}
		}
		return logits, nil
	}
	for _, o := range computePaths() {
		sound, err := New(damaged(model.Embedding, 0, 0, 0.5), o)
		if err != nil {
			t.Fatal(err)
		}
		o.KVBudget = 8 * 32 * int64(sound.KVTokenBytes()) // pages are soon used again
		broken := damaged(model.Embedding, 0, 0, 0.5)
		binary.LittleEndian.PutUint32(broken.Tensors[model.Embedding].Data[4*64*bad:], math.Float32bits(float32(math.NaN())))
		e, err := New(broken, o)
		if err != nil {
			t.Fatal(err)
		}
		var writers sync.WaitGroup
		for seed := range uint64(12) {
			writers.Go(func() {
				got, err := write(e, seed, seed%2 == 0)
				if seed%2 == 0 {
					if !errors.Is(err, ErrNotFinite) {
						t.Errorf("%s %s %s: error %v", o.Kernels, o.Compute, o.KV, err)
					}
					return
				}
				want, wantErr := write(sound, seed, false)
				if err != nil || wantErr != nil {
					t.Errorf("%s %s %s: %v, %v", o.Kernels, o.Compute, o.KV, err, wantErr)
					return
				}
				sameRows(t, o.Kernels+" "+string(o.Compute)+" "+o.KV, got, want)
			})
		}
		writers.Wait()
		e.Close()
		sound.Close()
	}
}

// TestCheckLogits: large logits are numbers, and one that is none is found anywhere.
func TestCheckLogits(t *testing.T) {
	logits := make([]float32, 37)
	for i := range logits {
		logits[i] = math.MaxFloat32
	}
	if err := checkLogits(logits); err != nil {
		t.Error(err)
	}
	for i := range logits {
		old := logits[i]
		logits[i] = float32(math.Inf(-1))
		if err := checkLogits(logits); !errors.Is(err, ErrNotFinite) {
			t.Errorf("logit %d: %v", i, err)
		}
		logits[i] = old
	}
}

func BenchmarkCheckLogits(b *testing.B) {
	logits := make([]float32, 49152)
	for b.Loop() {
		checkLogits(logits)
	}
}
