package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// Work is what a speed is measured at. The tests are those of llama-bench, so
// that rows can be laid side by side.
type Work struct {
	Prefill bool // encode Tokens in one forward; else one forward a token
	Tokens  int
}

// test names the work behind depth tokens as llama-bench does: pp512, tg64,
// pp144@d4096.
func (w Work) test(depth int) string {
	name := fmt.Sprintf("tg%d", w.Tokens)
	if w.Prefill {
		name = fmt.Sprintf("pp%d", w.Tokens)
	}
	if depth > 0 {
		name += fmt.Sprintf("@d%d", depth)
	}
	return name
}

// Speed is the measured speed of one kind of work.
type Speed struct {
	Test   string  `json:"test"`
	Tokens int     `json:"tokens"`
	Depth  int     `json:"depth"`
	Median float64 `json:"tokens_per_second"`
	Min    float64 `json:"tokens_per_second_min"`
	Max    float64 `json:"tokens_per_second_max"`
	Rounds int     `json:"rounds"`
}

// Speeds measures the works behind depth kept tokens in turns, after one round
// that does not count, and calls step, if not nil, after each measurement.
func Speeds(ctx context.Context, e *engine.Engine, text *Text, depth int, works []Work, rounds int, step func()) ([]Speed, error) {
	longest := 0
	for _, w := range works {
		if w.Tokens < 1 {
			return nil, fmt.Errorf("%d tokens are nothing to measure", w.Tokens)
		}
		longest = max(longest, w.Tokens)
	}
	if limit := e.Config().Context; depth+longest+1 > limit {
		return nil, fmt.Errorf("%d tokens at depth %d do not fit the model's %d positions", longest, depth, limit)
	}
	tokens, err := text.Take(depth + longest)
	if err != nil {
		return nil, err
	}
	s := e.NewSequence()
	s.LookAhead(-1)
	defer s.Close()
	if depth > 0 {
		if err := extend(ctx, s, tokens[:depth], 1); err != nil {
			return nil, err
		}
	}
	times := make([][]float64, len(works))
	for round := range rounds + 1 {
		for i, w := range works {
			s.Truncate(depth)
			// The first token to decode comes from outside, as in llama-bench.
			n, sampled := 1, w.Tokens
			if w.Prefill {
				n, sampled = w.Tokens, 1
			}
			start := time.Now()
			if err := extend(ctx, s, tokens[depth:depth+n], sampled); err != nil {
				return nil, err
			}
			if round > 0 {
				times[i] = append(times[i], time.Since(start).Seconds())
				if step != nil {
					step()
				}
			}
		}
	}
	speeds := make([]Speed, len(works))
	for i, w := range works {
		t, n := spreadOf(times[i]), float64(w.Tokens)
		speeds[i] = Speed{Test: w.test(depth), Tokens: w.Tokens, Depth: depth, Median: n / t.median, Min: n / t.max, Max: n / t.min, Rounds: rounds}
	}
	return speeds, nil
}

// extend encodes the tokens and samples n tokens behind them. The last sampled
// token is not encoded.
func extend(ctx context.Context, s *engine.Sequence, tokens []int32, n int) error {
	if err := s.Append(tokens...); err != nil {
		return err
	}
	_, err := s.Continue(ctx, placement.None, nil, n, sample.Greedy(), nil)
	return err
}
