package flashback_test

import (
	"testing"

	"github.com/flashback-lm/flashback"
)

// TestResolve asks, in turn, the request, what its adapter was trained for, and the
// defaults.
func TestResolve(t *testing.T) {
	three, turn := 3, flashback.EchoTurn
	adapter := flashback.AdapterInfo{Placement: "append", Echo: 16, Passages: 4}
	for _, c := range []struct {
		name      string
		request   flashback.Request
		trained   flashback.AdapterInfo
		retriever bool
		chat      bool
		placement string // "": an error
		echo, k   int
	}{
		{"nothing said", flashback.Request{}, flashback.AdapterInfo{}, true, false, "virtual", 1, 1},
		{"no retriever", flashback.Request{}, flashback.AdapterInfo{}, false, false, "none", 0, 1},
		{"the adapter's", flashback.Request{}, adapter, true, false, "append", 16, 4},
		{"the adapter's without a retriever", flashback.Request{}, adapter, false, false, "none", 0, 4},
		{"another placement", flashback.Request{Placement: "virtual"}, adapter, true, false, "virtual", 1, 4},
		{"all said", flashback.Request{Placement: "append", Echo: &three, Passages: 2}, adapter, true, false, "append", 3, 2},
		{"an adapter of PEFT's", flashback.Request{Placement: "append"}, flashback.AdapterInfo{}, true, false, "append", 0, 1},
		{"a chat", flashback.Request{}, flashback.AdapterInfo{}, true, true, "virtual", flashback.EchoTurn, 1},
		{"a chat that prepends", flashback.Request{Placement: "prepend"}, flashback.AdapterInfo{}, true, true, "prepend", 0, 1},
		{"a chat with an adapter", flashback.Request{}, adapter, true, true, "append", 16, 4},
		{"an adapter for turns", flashback.Request{}, flashback.AdapterInfo{Placement: "append", Echo: flashback.EchoTurn}, true, true, "append", flashback.EchoTurn, 1},
		{"in the turn", flashback.Request{Placement: "in-turn"}, flashback.AdapterInfo{}, true, true, "in-turn", 1, 1},
		{"in the turn of a text", flashback.Request{Placement: "in-turn"}, flashback.AdapterInfo{}, true, false, "", 0, 0},
		{"a turn of a text", flashback.Request{Echo: &turn}, flashback.AdapterInfo{}, true, false, "", 0, 0},
		{"no such placement", flashback.Request{Placement: "behind"}, adapter, true, false, "", 0, 0},
		{"no echo there", flashback.Request{Placement: "prepend", Echo: &three}, adapter, true, false, "", 0, 0},
	} {
		r, err := c.request.Resolve(c.trained, c.retriever, c.chat)
		if c.placement == "" {
			if err == nil {
				t.Errorf("%s: resolved to %+v, want an error", c.name, r)
			}
			continue
		}
		if err != nil || r.Placement != c.placement || *r.Echo != c.echo || r.Passages != c.k {
			t.Errorf("%s: %s, echo %d, %d passages, %v; want %s, %d, %d", c.name, r.Placement, *r.Echo, r.Passages, err, c.placement, c.echo, c.k)
		}
		if r.Stride != 16 || r.QueryLen != 32 || r.PassageLen != 128 || r.MaxTokens != 128 || *r.MixFactor != 10 {
			t.Errorf("%s: something is left open: %+v", c.name, r)
		}
		again, err := r.Resolve(c.trained, c.retriever, c.chat)
		if err != nil || again.Placement != r.Placement || *again.Echo != *r.Echo || again.Passages != r.Passages {
			t.Errorf("%s: resolving again changes %+v to %+v, %v", c.name, r, again, err)
		}
	}
}
