package ralm_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// scored is a text in which a token is as probable as there are passages in sight that
// have it: each adds a nat.
type scored struct {
	log    *scoredLog
	length int
}

type scoredLog struct {
	sync.Mutex
	open  int
	asked []int // lengths of the texts that were scored
	err   error
}

func (s *scored) Truncate(n int) { s.length = n }
func (s *scored) Close()         { s.log.Lock(); s.log.open--; s.log.Unlock() }

func (s *scored) Score(_ context.Context, p placement.Placement, evidence []lm.Evidence, target []int32) ([]float64, error) {
	s.log.Lock()
	defer s.log.Unlock()
	s.log.asked = append(s.log.asked, s.length)
	if (p.Evidence == placement.Nowhere) != (len(evidence) == 0) {
		return nil, errors.New("the placement does not fit the evidence")
	}
	scores := make([]float64, len(target))
	for i, token := range target {
		for _, ev := range evidence {
			for _, have := range ev.Tokens {
				if have == token {
					scores[i]++
				}
			}
		}
	}
	return scores, s.log.err
}

// What each token loses is what the passage that has it gave, for strides that saw the
// same passages together; the token that ended the text counts nowhere.
func TestWeigh(t *testing.T) {
	p := func(id, text string, score float64) ralm.Placed {
		return ralm.Placed{Passage: retrieve.Passage{ID: id, Text: text, Score: score}}
	}
	stride := func(context int, tokens []int32, passages ...ralm.Placed) ralm.TracedStride {
		return ralm.TracedStride{Stride: ralm.Stride{Context: context, Passages: passages}, Tokens: tokens}
	}
	encode := bytes{}.Encode
	trace := ralm.Trace{Strides: []ralm.TracedStride{
		stride(10, encode("ax"), p("1", "a", 3), p("2", "b", 1)),
		stride(12, encode("ba"), p("1", "a", 2), p("2", "b", 1)),
		stride(14, encode("c"), p("3", "c", 2)),
		stride(15, append(encode("d"), eos)),
	}}
	for _, joined := range []bool{false, true} {
		o := ralm.Defaults()
		o.StopTokens, o.Joined = []int32{eos}, joined
		log := &scoredLog{}
		fork := func() ralm.Scored { log.Lock(); log.open++; log.Unlock(); return &scored{log, 16} }
		got, err := ralm.Weigh(context.Background(), fork, bytes{}, &trace, o)
		if err != nil {
			t.Fatal(err)
		}
		passages := func(placed ...ralm.Placed) []retrieve.Passage {
			var all []retrieve.Passage
			for _, p := range placed {
				all = append(all, p.Passage)
			}
			return all
		}
		want := []ralm.Influence{
			{Tokens: encode("axba"), Strides: 2, Passages: passages(p("1", "a", 3), p("2", "b", 1)), Lost: [][]float64{{1, 0, 0, 1}, {0, 0, 1, 0}}},
			{Tokens: encode("c"), Strides: 1, Passages: passages(p("3", "c", 2)), Lost: [][]float64{{1}}},
			{Tokens: encode("d"), Strides: 1, Lost: [][]float64{}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("joined %v:\n%+v\nnot\n%+v", joined, got, want)
		}
		slices.Sort(log.asked)
		if !slices.Equal(log.asked, []int{10, 10, 10, 14, 14}) || log.open != 0 {
			t.Errorf("texts of %v tokens were scored, %d are left open", log.asked, log.open)
		}
		log.err = lm.ErrTooLong
		if _, err := ralm.Weigh(context.Background(), fork, bytes{}, &trace, o); !errors.Is(err, lm.ErrTooLong) || log.open != 0 {
			t.Errorf("error %v, %d are left open", err, log.open)
		}
	}
}
