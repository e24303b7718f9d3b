package lora

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Adapter is a trained, or fresh, change to a base model of a shape.
type Adapter struct {
	Weights
	Beside
	Shape  Shape
	Config Config
	Info   Info
	// Tokenizer, if not nil, is the base's: Write puts its files beside the
	// adapter's, with the marks.
	Tokenizer *tokenizer.Tokenizer
}

// Config is what PEFT's adapter_config.json says of an adapter.
type Config struct {
	Rank    int
	Alpha   float64      // the scale is Alpha/Rank, or Alpha/√Rank
	RSLoRA  bool         // rank-stabilised: the latter
	Dropout float64      // on the adapter's input, in training only
	Targets []model.Role // projections
	Base    string       // base_model_name_or_path: shown, not checked
}

// Scale returns the factor of updates of a rank.
func (c Config) Scale(rank int, alpha float64) float32 {
	if c.RSLoRA {
		return float32(alpha / math.Sqrt(float64(rank)))
	}
	return float32(alpha / float64(rank))
}

// Info is what an adapter was trained for. It stands in flashback.json beside
// PEFT's files; the zero value is that of an adapter which has none.
type Info struct {
	// Base is the digest of the base model (model.Model.Digest); "": not known.
	Base string `json:"base,omitempty"`
	// Vocabulary is the number of rows of the base's embedding.
	Vocabulary int `json:"vocabulary,omitempty"`
	// Placement, Echo, Apart and Passages are those of training, and a run's defaults.
	Placement string         `json:"placement,omitempty"`
	Echo      placement.Echo `json:"echo,omitempty"`
	Apart     int            `json:"apart,omitempty"` // positions between the ends of virtual passages
	Passages  int            `json:"passages,omitempty"`
	// PassageLen is how many tokens passages were cut at in training; 0: not known. A
	// run then cuts them there by default and does not join them.
	PassageLen int `json:"passage_len,omitempty"`
	// Marks stand around each passage; nil: none.
	Marks *Marks `json:"marks,omitempty"`
	// Activated adapters apply from the evidence on, to it and to what follows, so
	// that the context's keys and values are the base model's.
	Activated bool `json:"activated,omitempty"`
	// Recipe says how it was trained, in any words.
	Recipe map[string]any `json:"recipe,omitempty"`
}

// Suits reports whether the adapter is what a request is to be answered with that names
// none and leaves the placement open ("") or asks for this one.
func (i Info) Suits(placement string) bool { return placement == "" || placement == i.Placement }

// Marks are the tokens around a passage, <MARK_L> and <MARK_R>.
type Marks struct {
	Left  int32 `json:"left"`
	Right int32 `json:"right"`
}

// The names of the marks in a tokenizer's files.
const (
	LeftMark  = "<MARK_L>"
	RightMark = "<MARK_R>"
)

// New returns an adapter that changes nothing yet, as PEFT initialises one: A
// uniform in ±1/√in, B zero. The same seed gives the same weights.
func New(c Config, s Shape, seed uint64) *Adapter {
	c.Targets = s.whole(c.Targets)
	a := &Adapter{Shape: s, Config: c, Info: Info{Vocabulary: s.Vocab}}
	r := rand.New(rand.NewPCG(seed, 1))
	for range s.Layers {
		var l Layer
		for t := range model.Projections { // in their own order, whatever c's
			in, out := s.Projections[t].Cols, s.Projections[t].Rows
			if out == 0 || !slices.Contains(c.Targets, t) {
				continue
			}
			f := &Factor{Rank: c.Rank, In: in, Out: out, Scale: c.Scale(c.Rank, c.Alpha), B: make([]float32, out*c.Rank)}
			l[t] = f
			if first := s.module(t)[0]; first != t && l[first] != nil {
				f.A = l[first].A
				continue
			}
			f.A = make([]float32, c.Rank*in)
			bound := 1 / math.Sqrt(float64(in))
			for i := range f.A {
				f.A[i] = float32((2*r.Float64() - 1) * bound)
			}
		}
		a.Layers = append(a.Layers, l)
	}
	return a
}

// markNoise is the standard deviation that tells the two marks apart at first,
// small beside that of an embedding's elements.
const markNoise = 0.01

// AddMarks gives the adapter two tokens behind the base's vocabulary whose
// embeddings begin near one row [hidden].
func (a *Adapter) AddMarks(near []float32, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	left := int32(a.Shape.Vocab)
	for _, token := range []int32{left, left + 1} {
		row := slices.Clone(near)
		for i := range row {
			row[i] += float32(markNoise * r.NormFloat64())
		}
		a.Rows = append(a.Rows, Row{token, row})
	}
	a.Info.Marks = &Marks{left, left + 1}
}

// Row returns the embedding that the adapter has for a token, or nil.
func (w *Weights) Row(token int32) []float32 {
	i, ok := slices.BinarySearchFunc(w.Rows, token, func(r Row, t int32) int { return int(r.Token) - int(t) })
	if !ok {
		return nil
	}
	return w.Rows[i].Embedding
}

// CheckBase returns an error where the adapter was trained on another base model than
// the one with the digest, which is only computed if the adapter knows its own: PEFT's
// files do not say.
func (a *Adapter) CheckBase(digest func() string) error {
	want := a.Info.Base
	if want == "" {
		return nil
	}
	if is := digest(); is != want {
		return fmt.Errorf("trained on a base model with the digest %.12s…, and this model's is %.12s…: use the model it was trained on (%s)",
			want, is, cmp.Or(a.Config.Base, "its recipe may name it"))
	}
	return nil
}

// Digest is a hash of all that an adapter does to a model: two adapters with the
// same digest give the same bits. Names and recipes are not part of it.
func (a *Adapter) Digest() string {
	h := sha256.New()
	number := func(n int) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	if a.Info.Activated {
		number(1)
	} else {
		number(0)
	}
	number(len(a.Layers))
	for _, l := range a.Layers {
		for t, f := range l {
			if f == nil {
				continue
			}
			for _, n := range []int{t, f.Rank, f.In, f.Out, int(math.Float32bits(f.Scale))} {
				number(n)
			}
			hashFloats(h, f.A)
			hashFloats(h, f.B)
		}
		number(-1)
	}
	for _, r := range a.Rows {
		number(int(r.Token))
		hashFloats(h, r.Embedding)
	}
	a.Beside.digest(h, number)
	return hex.EncodeToString(h.Sum(nil))
}

func hashFloats(h hash.Hash, values []float32) {
	var b [4096]byte
	for len(values) > 0 {
		n := min(len(values), len(b)/4)
		for i, v := range values[:n] {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		}
		h.Write(b[:4*n])
		values = values[n:]
	}
}
