package ralm

import "testing"

func TestInConversation(t *testing.T) {
	for _, c := range []struct {
		questions []string
		want      string
	}{
		{[]string{"And?"}, "And?"},
		{[]string{"How much is a Tesla Model 3 tyre change?", "What about a service?"},
			"How much is a Tesla Model 3 tyre change? What about a service? What about a service?"},
		{[]string{"Who built the bridge over the river?", "How long did it take them to finish?", "And who paid?"},
			"Who built the bridge over the river? How long did it take them to finish? And who paid? And who paid?"},
		{[]string{"Who built the bridge over the river?", "Where do we keep the spare keys?"}, "Where do we keep the spare keys?"},
		{[]string{"Wer hat die Brücke über den Fluss gebaut?", "这座桥是谁建造的呢"}, "这座桥是谁建造的呢"},
		{[]string{"Who built the bridge over the river?", ""}, "Who built the bridge over the river?  "},
	} {
		if got := InConversation(c.questions); got != c.want {
			t.Errorf("%q is looked up as %q, want %q", c.questions, got, c.want)
		}
	}
}
