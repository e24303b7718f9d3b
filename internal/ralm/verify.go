package ralm

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
)

// Record is a complete stride: what the model was given and what it made of it.
type Record struct {
	Stride    int
	Placement placement.Placement
	Context   []int32
	Evidence  []lm.Evidence
	Sampled   []int32
	Logits    [][]float32 // [len(Sampled)][vocabulary], that each token was chosen by
}

// recorder is a sampler that notes the logits it is given. An engine that samples
// elsewhere never gives any, so its strides cannot be verified.
type recorder struct {
	lm.Sampler
	record *Record
}

func (r recorder) Sample(logits []float32, text []int32) int32 {
	r.record.Logits = append(r.record.Logits, slices.Clone(logits))
	return r.Sampler.Sample(logits, text)
}

// Recomputer computes the logits [len(target)][vocabulary] that predict each
// target token after text ++ evidence from nothing that was kept. For several
// branches they are the logarithms of the mixed probabilities.
type Recomputer interface {
	Recompute(ctx context.Context, p placement.Placement, text []int32, evidence []lm.Evidence, target []int32) ([][]float32, error)
}

// Verifier checks the exactness promise on a generation: its Record method is
// meant for Options.Record, so that no more than one stride is held.
type Verifier struct {
	// Engine recomputes with the same kernels; its logits must be equal bit for
	// bit.
	Engine Recomputer
	// Oracle recomputes in an independent way; its logits must be within
	// Tolerance, and its most probable token the same unless it leads by less.
	// nil: there is none that rounds as the engine does.
	Oracle    Recomputer
	Tolerance float64
	// OracleEvery n asks the oracle about every nth stride only, the first
	// included, because it is slow. 0 is 1.
	OracleEvery int

	report Report
}

// Report is what a Verifier found. It is about equality: greedy or not, equal
// logits give equal tokens.
type Report struct {
	Strides       int `json:"strides"`
	OracleStrides int `json:"oracle_strides"` // of those, strides that the oracle checked too
	Tokens        int `json:"tokens"`
	// Recomputed and Oracle are the greatest absolute differences to the logits
	// of the generation; Recomputed should be 0.
	Recomputed float64 `json:"recomputed_max_difference"`
	Oracle     float64 `json:"oracle_max_difference"`
	Tolerance  float64 `json:"oracle_tolerance"`
	// Close counts the tokens at which the oracle prefers another one, by less
	// than the tolerance.
	Close int         `json:"close"`
	First *Difference `json:"first_difference,omitempty"` // nil: verified
}

// Difference is where a check failed first.
type Difference struct {
	Check     string  // "recomputed" or "oracle"
	Stride    int     // of the generation
	Token     int     // of the stride
	Position  int     // of the token in the text
	Logit     int     // of the vocabulary
	Got, Want float32 // in the generation, and of the check
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: stride %d, token %d (text position %d), logit %d: generated with %v (%08x), want %v (%08x)",
		d.Check, d.Stride, d.Token, d.Position, d.Logit, d.Got, math.Float32bits(d.Got), d.Want, math.Float32bits(d.Want))
}

// MarshalText makes JSON of it in words: its numbers may be NaN.
func (d Difference) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Report returns what was found so far.
func (v *Verifier) Report() Report {
	v.report.Tolerance = v.Tolerance
	return v.report
}

// Record recomputes a stride in both ways. The error says that this was not
// possible; differences stand in the report.
func (v *Verifier) Record(ctx context.Context, r Record) error {
	again, err := recompute(ctx, v.Engine, "again", r)
	if err != nil {
		return err
	}
	for i, got := range r.Logits {
		v.same(r, i, got, again[i])
	}
	if v.Oracle != nil && v.report.Strides%max(1, v.OracleEvery) == 0 {
		oracle, err := recompute(ctx, v.Oracle, "by the oracle", r)
		if err != nil {
			return err
		}
		v.report.OracleStrides++
		for i, got := range r.Logits {
			v.near(r, i, got, oracle[i])
		}
	}
	v.report.Strides++
	v.report.Tokens += len(r.Sampled)
	return nil
}

func recompute(ctx context.Context, c Recomputer, how string, r Record) ([][]float32, error) {
	rows, err := c.Recompute(ctx, r.Placement, r.Context, r.Evidence, r.Sampled)
	if err != nil {
		return nil, fmt.Errorf("computing stride %d %s: %w", r.Stride, how, err)
	}
	if len(rows) != len(r.Logits) || len(r.Logits) != len(r.Sampled) {
		return nil, fmt.Errorf("computing stride %d %s: %d rows of logits for %d generated and %d tokens", r.Stride, how, len(rows), len(r.Logits), len(r.Sampled))
	}
	for i := range rows {
		if len(rows[i]) != len(r.Logits[i]) {
			return nil, fmt.Errorf("computing stride %d %s: %d logits, the generation had %d", r.Stride, how, len(rows[i]), len(r.Logits[i]))
		}
	}
	return rows, nil
}

// same checks for equal bits.
func (v *Verifier) same(r Record, token int, got, want []float32) {
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			v.report.Recomputed = max(v.report.Recomputed, difference(got[i], want[i]))
			v.failed(r, token, Difference{Check: "recomputed", Logit: i, Got: got[i], Want: want[i]})
		}
	}
}

// near checks for the tolerance, and for the same best token.
func (v *Verifier) near(r Record, token int, got, want []float32) {
	for i := range got {
		d := difference(got[i], want[i])
		v.report.Oracle = max(v.report.Oracle, d)
		if d > v.Tolerance {
			v.failed(r, token, Difference{Check: "oracle", Logit: i, Got: got[i], Want: want[i]})
		}
	}
	chosen, best := greatest(got), greatest(want)
	if chosen == best {
		return
	}
	if difference(want[best], want[chosen]) < v.Tolerance {
		v.report.Close++
		return
	}
	v.failed(r, token, Difference{Check: "oracle", Logit: best, Got: got[best], Want: want[best]})
}

// failed notes the first difference.
func (v *Verifier) failed(r Record, token int, d Difference) {
	if v.report.First == nil {
		d.Stride, d.Token, d.Position = r.Stride, token, len(r.Context)+token
		v.report.First = &d
	}
}

// difference is the greatest number where one of the two is infinite or NaN.
func difference(a, b float32) float64 {
	if a == b {
		return 0
	}
	if d := math.Abs(float64(a) - float64(b)); d <= math.MaxFloat64 {
		return d
	}
	return math.MaxFloat64
}

func greatest(logits []float32) int {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	return best
}
