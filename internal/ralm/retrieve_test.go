package ralm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// slow is a retriever that tells of each answer, after a time.
type slow struct {
	retrieve.Retriever
	time   time.Duration
	answer func()
}

func (s slow) Retrieve(ctx context.Context, q retrieve.Query) ([]retrieve.Passage, error) {
	select {
	case <-time.After(s.time):
		s.answer()
		return s.Retriever.Retrieve(ctx, q)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestEncodingMeanwhile: the text is encoded between question and answer where
// the answer is slow and the evidence stands behind the text. The clock is that
// of the test's bubble: it moves when all wait.
func TestEncodingMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		placement placement.Placement
		time      time.Duration
		want      string
	}{
		"virtual, slow": {placement.Virtual, 50 * time.Millisecond, "encode 6, answer, encode 10, answer"},
		"append, slow":  {placement.Append, 50 * time.Millisecond, "encode 6, answer, encode 10, answer"},
		"prepend, slow": {placement.Prepend, 50 * time.Millisecond, "answer, answer"},
		"virtual, fast": {placement.Virtual, 100 * time.Microsecond, "answer, answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan string, 10)
				s := newScript("abcdefgh")
				s.encode = func(context.Context) error {
					events <- fmt.Sprint("encode ", len(s.tokens))
					return nil
				}
				o := ralm.Defaults()
				o.Placement, o.Stride, o.MaxTokens = c.placement, 4, 8
				r := slow{&shelf{passages: twoPassages}, c.time, func() { events <- "answer" }}
				tr := trace(t, s, r, "prompt", o)
				close(events)
				var order []string
				for e := range events {
					order = append(order, e)
				}
				if got := strings.Join(order, ", "); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if got := tr.Strides[1].Retrieve; got != c.time {
					t.Errorf("a look-up of %v took %v", c.time, got)
				}
			})
		})
	}
}

// TestEncodingFails: the error ends the generation, and the look-up before it.
func TestEncodingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("abcd")
		full := errors.New("the cache is full")
		s.encode = func(context.Context) error { return full }
		var last error
		r := slow{&shelf{}, time.Hour, func() { t.Error("answered") }}
		for _, err := range ralm.New(s, bytes{}, r).Generate(t.Context(), tokens("prompt"), ralm.Defaults()) {
			last = err
		}
		if last != full {
			t.Errorf("error %v", last)
		}
	})
}

// TestCancelledWhileAsking ends the generation as a cancellation does.
func TestCancelledWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var last ralm.Event
		r := slow{&shelf{}, time.Hour, func() { t.Error("answered") }}
		for e, err := range ralm.New(newScript("abcd"), bytes{}, r).Generate(ctx, tokens("prompt"), ralm.Defaults()) {
			if last = e; err != nil {
				t.Error(err)
			}
		}
		if f, ok := last.(ralm.Finish); !ok || f.Reason != ralm.Cancelled {
			t.Errorf("ended with %+v", last)
		}
	})
}

// TestSlowRetrieversChangeNothing: of the engine, the same tokens from the same
// bits, and the same counts, whether text and evidence were encoded together or
// one after the other.
func TestSlowRetrieversChangeNothing(t *testing.T) {
	w := modeltest.Tiny(1)
	passages := shelves{strings.Repeat("some words ", 5), strings.Repeat("other ", 6), "few", strings.Repeat("and more ", 3)}
	for _, p := range []placement.Placement{placement.Virtual, placement.Append, echo16(t, placement.Append), echo16(t, placement.Virtual)} {
		t.Run(p.Name, func(t *testing.T) {
			o := ralm.Defaults()
			o.Placement, o.K, o.MaxTokens = p, 2, 60
			run := func(time time.Duration) (tr ralm.Trace, logits [][]float32) {
				e, err := engine.New(w, engine.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				s := e.NewSequence()
				defer s.Close()
				o.Record = func(_ context.Context, r ralm.Record) error {
					logits = append(logits, r.Logits...)
					return nil
				}
				return trace(t, s, slow{passages, time, func() {}}, "What stands here is the prompt", o), logits
			}
			together, want := run(0)
			apart, got := run(20 * time.Millisecond)
			if len(want) != 60 || !slices.EqualFunc(got, want, slices.Equal) {
				t.Error("other logits")
			}
			if together.Finish.Counts != apart.Finish.Counts || together.Text() != apart.Text() {
				t.Errorf("%+v, want %+v", apart.Finish, together.Finish)
			}
		})
	}
}
