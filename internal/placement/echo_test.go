package placement

import (
	"encoding/json"
	"testing"
)

func TestEcho(t *testing.T) {
	for text, want := range map[string]Echo{"0": 0, "16": 16, "turn": Turn} {
		e, err := ParseEcho(text)
		if err != nil || e != want || e.String() != text {
			t.Errorf("ParseEcho(%q) = %v, %v", text, e, err)
		}
		data, err := json.Marshal(want)
		var back Echo
		if err != nil || json.Unmarshal(data, &back) != nil || back != want {
			t.Errorf("%s: as JSON %s, back %v", text, data, back)
		}
	}
	for _, text := range []string{"", "-1", "turns", "1.5"} {
		if e, err := ParseEcho(text); err == nil {
			t.Errorf("ParseEcho(%q) = %v, want an error", text, e)
		}
	}
}

// The echo of a turn is the turn, however it has grown.
func TestForTurn(t *testing.T) {
	p, err := Virtual.WithEcho(Turn)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[int]int{20: 8, 36: 24, 12: 1} {
		if got := p.ForTurn(text, 12).Echo; got != want {
			t.Errorf("a text of %d with a turn from 12 on: echo %d, want %d", text, got, want)
		}
	}
	if got := Virtual.ForTurn(20, 12).Echo; got != 1 {
		t.Errorf("an echo of one token becomes %d", got)
	}
}
