package ralm_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// answers is a recomputer that was told what to say.
type answers struct {
	rows [][]float32
	err  error
}

func (a answers) Recompute(context.Context, placement.Placement, []int32, []lm.Evidence, []int32) ([][]float32, error) {
	return a.rows, a.err
}

func TestVerifier(t *testing.T) {
	made := [][]float32{{0, 3, 1}, {2, 1, 1.995}}
	with := func(row, logit int, value float32) [][]float32 {
		rows := [][]float32{slices.Clone(made[0]), slices.Clone(made[1])}
		rows[row][logit] = value
		return rows
	}
	nan := float32(math.NaN())
	for _, c := range []struct {
		name           string
		engine, oracle [][]float32
		first          string // beginning of the first difference
		close          int
	}{
		{"equal", made, made, "", 0},
		{"within the tolerance", made, with(0, 0, .009), "", 0},
		{"last bit", with(1, 1, math.Nextafter32(1, 2)), made, "recomputed: stride 3, token 1 (text position 6), logit 1", 0},
		{"negative zero", with(0, 0, float32(math.Copysign(0, -1))), made, "recomputed: stride 3, token 0 (text position 5), logit 0", 0},
		{"beyond the tolerance", made, with(0, 2, 1.011), "oracle: stride 3, token 0 (text position 5), logit 2", 0},
		{"no number", made, with(0, 2, nan), "oracle: stride 3, token 0 (text position 5), logit 2", 0},
		{"another token by less", made, with(1, 2, 2.004), "", 1},
		{"engine first", with(0, 0, 1), with(0, 0, 1), "recomputed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := ralm.Verifier{Engine: answers{rows: c.engine}, Oracle: answers{rows: c.oracle}, Tolerance: .01}
			err := v.Record(t.Context(), ralm.Record{Stride: 3, Context: tokens("01234"), Sampled: []int32{1, 0}, Logits: made})
			if err != nil {
				t.Fatal(err)
			}
			r := v.Report()
			if r.Strides != 1 || r.Tokens != 2 || r.Close != c.close || r.Tolerance != .01 {
				t.Errorf("report %+v", r)
			}
			switch {
			case c.first == "" && r.First != nil:
				t.Errorf("difference %v", r.First)
			case c.first != "" && (r.First == nil || !strings.HasPrefix(r.First.String(), c.first)):
				t.Errorf("difference %v, want %s", r.First, c.first)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOracleEvery(t *testing.T) {
	rows := [][]float32{{0, 1}}
	v := ralm.Verifier{Engine: answers{rows: rows}, Oracle: answers{rows: rows}, OracleEvery: 3}
	for range 7 {
		if err := v.Record(t.Context(), ralm.Record{Sampled: []int32{1}, Logits: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if r := v.Report(); r.Strides != 7 || r.OracleStrides != 3 {
		t.Errorf("report %+v, want 7 strides and 3 by the oracle", r)
	}
}

func TestVerifierErrors(t *testing.T) {
	made := [][]float32{{0, 1}}
	for name, c := range map[string]struct{ engine, oracle answers }{
		"computing stride 0 again: lost":                                          {answers{err: errors.New("lost")}, answers{rows: made}},
		"computing stride 0 by the oracle: lost":                                  {answers{rows: made}, answers{err: errors.New("lost")}},
		"computing stride 0 again: 0 rows of logits for 1 generated and 1 tokens": {answers{}, answers{rows: made}},
		"computing stride 0 by the oracle: 3 logits, the generation had 2":        {answers{rows: made}, answers{rows: [][]float32{{1, 2, 3}}}},
	} {
		v := ralm.Verifier{Engine: c.engine, Oracle: c.oracle}
		if err := v.Record(t.Context(), ralm.Record{Sampled: []int32{1}, Logits: made}); err == nil || err.Error() != name {
			t.Errorf("error %v, want %s", err, name)
		}
	}
}

// TestRecord: a record holds what the sequence was given and every step's logits.
func TestRecord(t *testing.T) {
	s := newScript("abcdef")
	o := ralm.Defaults()
	o.Stride, o.MaxTokens = 4, 6
	var records []ralm.Record
	o.Record = func(_ context.Context, r ralm.Record) error {
		records = append(records, r)
		return nil
	}
	trace(t, s, &shelf{passages: twoPassages}, "prompt", o)
	if len(records) != 2 {
		t.Fatalf("%d records", len(records))
	}
	for i, r := range records {
		c := s.calls[i]
		if r.Stride != i || r.Placement != c.placement || !slices.Equal(r.Context, c.context) || !slices.Equal(r.Sampled, c.sampled) || len(r.Evidence) != len(c.evidence) {
			t.Errorf("record %+v of %+v", r, c)
		}
		for j, logits := range r.Logits {
			if logits[c.sampled[j]] != 1 {
				t.Errorf("stride %d: logits of another step at %d", i, j)
			}
		}
	}
}
