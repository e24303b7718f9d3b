package flashback

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// FuzzRecall reads traces that others bring: each is refused or weighed, with numbers.
func FuzzRecall(f *testing.F) {
	e := kettles(f)
	r := AnswerDefaults()
	r.MaxTokens, r.Stride, r.Passages = 6, 3, 2
	const question = "What does the red kettle do?"
	c := e.NewChat("")
	var trace Trace
	for event, err := range c.Ask(f.Context(), question, r) {
		if err != nil {
			f.Fatal(err)
		}
		trace.Add(event)
	}
	c.Close()
	told, err := json.Marshal(trace)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(told)
	for _, change := range [][2]string{
		{`"context":`, `"context":1`}, {`"tokens":[`, `"tokens":[-1,`}, {`"tokens":[`, `"tokens":[999999999,`}, {`"score":`, `"score":-1e308,"x":`},
		{`"text":"`, `"text":"\u0000\ud800`}, {`"passages":[`, `"passages":[{"in_turn":true},`}, {`"evidence_tokens"`, `"in_turn":true,"weight"`}, {`"stride":0`, `"stride":-7`},
	} {
		f.Add([]byte(strings.Replace(string(told), change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var trace Trace
		if json.Unmarshal(data, &trace) != nil {
			return
		}
		for _, placement := range []string{"append", "in-turn"} {
			asked := r
			asked.Placement = placement
			c := e.NewChat("")
			t.Cleanup(c.Close)
			if c.Recall(question, asked, trace) != nil {
				continue
			}
			p, err := c.Provenance(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", placement, err)
			}
			for _, s := range p.Strides {
				for _, nats := range s.Nats {
					if math.IsNaN(nats) || math.IsInf(nats, 0) {
						t.Fatalf("%s: stride %d has %v nats", placement, s.Stride, nats)
					}
				}
			}
			if _, err := json.Marshal(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}
