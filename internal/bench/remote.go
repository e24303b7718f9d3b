package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/peer"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// RemoteRow is a kind of stride measured on an engine behind HTTP.
type RemoteRow struct {
	Engine    string `json:"engine"`
	Placement string `json:"placement"`
	Echo      int    `json:"echo"`
	Context   int    `json:"context"` // kept tokens before the stride
	Stride    int    `json:"stride"`  // tokens sampled

	MSPerToken    float64 `json:"ms_per_token"` // median of the rounds, by our clock
	MinMSPerToken float64 `json:"ms_per_token_min"`
	MaxMSPerToken float64 `json:"ms_per_token_max"`
	Rounds        int     `json:"rounds"`
	// RatioToPrepend is how many times as fast as prepending the row is; 0: not measured.
	RatioToPrepend float64 `json:"ratio_to_prepend"`

	// Computed are the tokens that the engine says it computed, prefilled and decoded; -1:
	// it does not tell. Table is what the placement table says.
	Computed int `json:"tokens_computed"`
	Table    int `json:"tokens_of_table"`
	Cached   int `json:"tokens_cached"`
}

// Name returns what tables call the row.
func (r RemoteRow) Name() string { return Row{Placement: r.Placement, Echo: r.Echo}.Name() }

// Remote measures strides of the loop on an engine behind HTTP, as Loop does here. Rows
// of one context are measured one after the other, since a prompt that begins otherwise
// may cost the engine what it kept.
func Remote(ctx context.Context, e *peer.Engine, text *Text, o LoopOptions) ([]RemoteRow, error) {
	o, err := o.Fit(e.Context)
	if err != nil {
		return nil, err
	}
	for _, p := range o.Placements {
		if err := peer.Check(p, min(1, len(o.Passages))); err != nil {
			return nil, err
		}
	}
	tokens, err := text.Take(slices.Max(o.Contexts))
	if err != nil {
		return nil, err
	}
	passages, err := text.Passages(2*o.Rounds, o.Evidence)
	if err != nil {
		return nil, err
	}
	var rows []RemoteRow
	for _, length := range o.Contexts {
		first := len(rows)
		prepend := 0.0
		for _, p := range o.Placements {
			row, err := remoteRow(ctx, e, p, tokens[:length], passages, o)
			if err != nil {
				return rows, err
			}
			if p.Evidence == placement.AtZero {
				prepend = row.MSPerToken
			}
			rows = append(rows, row)
		}
		for i := range rows[first:] {
			rows[first+i].RatioToPrepend = prepend / rows[first+i].MSPerToken
		}
	}
	return rows, nil
}

// remoteRow measures one kind of stride: behind one that is not measured and has other
// evidence.
func remoteRow(ctx context.Context, e *peer.Engine, p placement.Placement, tokens []int32, passages [][]int32, o LoopOptions) (RemoteRow, error) {
	s := e.NewSequence()
	defer s.Close()
	before := len(tokens) - o.Stride
	row := RemoteRow{Engine: e.String(), Placement: p.Name, Echo: p.Echo, Context: len(tokens), Stride: o.Stride, Rounds: o.Rounds}
	table := Stride{Context: len(tokens), Sampled: o.Stride, Passages: 1, Evidence: o.Evidence}.Tokens(p)
	row.Table = table.Prefilled + table.Decoded
	var ms []float64
	stride := func(passage []int32) (lm.Counts, time.Duration, error) {
		counts, start := s.Counts(), time.Now()
		got, err := s.Continue(ctx, p, []lm.Evidence{{Tokens: passage, Weight: 1}}, o.Stride, sample.Greedy(), nil)
		if err == nil && len(got) != o.Stride {
			err = fmt.Errorf("%s wrote %d tokens instead of %d", e, len(got), o.Stride)
		}
		return s.Counts().Sub(counts), time.Since(start), err
	}
	s.Unending(true)
	for round := range o.Rounds {
		s.Truncate(min(s.Len(), before))
		if err := s.Append(tokens[s.Len():before]...); err != nil {
			return row, err
		}
		if _, _, err := stride(passages[2*round]); err != nil {
			return row, err
		}
		counts, took, err := stride(passages[2*round+1])
		if err != nil {
			return row, err
		}
		ms = append(ms, took.Seconds()*1000/float64(o.Stride))
		row.Computed, row.Cached = counts.Prefilled+counts.Decoded, counts.Reused+counts.EvidenceReused
		if !e.TellsCached {
			row.Computed, row.Cached = unknown, 0
		}
		if o.Step != nil {
			o.Step()
		}
	}
	m := spreadOf(ms)
	row.MSPerToken, row.MinMSPerToken, row.MaxMSPerToken = m.median, m.min, m.max
	return row, nil
}
