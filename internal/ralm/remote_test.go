package ralm_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/sample"
)

// elsewhere is a sequence that samples on another machine: what it knows of the
// sampler are the options, and it has no logits.
type elsewhere struct {
	*script
	sent []sample.Options
}

func (e *elsewhere) Continue(_ context.Context, _ placement.Placement, _ []lm.Evidence, n int, sampler lm.Sampler, accept lm.Accept) ([]int32, error) {
	e.sent = append(e.sent, sampler.Options())
	for i := range n {
		e.tokens = append(e.tokens, e.next[i])
		if accept(e.next[i]) {
			n = i + 1
			break
		}
	}
	sampled := e.next[:n]
	e.next = e.next[n:]
	return sampled, nil
}

// TestSamplingElsewhere: the loop is the same for an engine without logits.
func TestSamplingElsewhere(t *testing.T) {
	want := sample.Options{Temperature: .5, TopK: 3, TopP: .9, RepeatPenalty: 1.1, RepeatLast: 8, Seed: 7}
	sampler, err := sample.New(want)
	if err != nil {
		t.Fatal(err)
	}
	s := &elsewhere{script: newScript("one two. three")}
	o := ralm.Defaults()
	o.Placement, o.Stride, o.Stop, o.Sampler = placement.None, 5, []string{"."}, sampler
	var text string
	for event, err := range ralm.New(s, bytes{}, nil).Generate(t.Context(), bytes{}.Encode("prompt "), o) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case ralm.Token:
			text += e.Text
		case ralm.Finish:
			text += e.Text
			if e.Reason != ralm.Stop || e.Tokens != 8 {
				t.Errorf("%s after %d tokens", e.Reason, e.Tokens)
			}
		}
	}
	if text != "one two" {
		t.Errorf("written %q", text)
	}
	for _, got := range s.sent {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("sent %+v, want %+v", got, want)
		}
	}
	if len(s.sent) != 2 {
		t.Errorf("%d strides", len(s.sent))
	}
}
