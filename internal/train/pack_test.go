package train

import (
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/device/cpu"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// The layouts are written out by hand from the placement table.
func TestPack(t *testing.T) {
	window := trainset.Window{
		Document: "d", Tokens: []int32{0, 1, 2, 3, 4, 5, 6, 7},
		Strides: []trainset.Stride{
			{Context: 3, Passages: []trainset.Passage{{Tokens: []int32{20, 21}}}},
			{Context: 5, Passages: []trainset.Passage{{}, {Tokens: []int32{20, 21}}, {Tokens: []int32{30}}}},
		},
	}
	echo, err := placement.Append.WithEcho(2)
	if err != nil {
		t.Fatal(err)
	}
	again, err := placement.Virtual.WithEcho(3) // all but token 0 of the first stride
	if err != nil {
		t.Fatal(err)
	}
	marks := &ralm.Marks{Left: 90, Right: 91}
	for _, c := range []struct {
		name      string
		placement placement.Placement
		k         int
		marks     *ralm.Marks
		want      Packed
	}{
		{"none", placement.None, 1, nil, Packed{
			tokens: []int32{0, 1, 2, 3, 4, 5}, positions: []int{0, 1, 2, 3, 4, 5},
			segments: []cpu.Segment{{First: 0, Count: 6}}, context: 6,
			targets: []prediction{{2, 3}, {3, 4}, {4, 5}, {5, 6}},
		}},
		{"prepend", placement.Prepend, 1, nil, Packed{
			tokens:    []int32{20, 21, 0, 1, 2, 3, 20, 21, 0, 1, 2, 3, 4, 5},
			positions: []int{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7},
			segments:  []cpu.Segment{{First: 0, Count: 2}, {First: 2, Count: 4, Sees: []cpu.Run{{From: 0, To: 2}}}, {First: 6, Count: 2}, {First: 8, Count: 6, Sees: []cpu.Run{{From: 6, To: 8}}}},
			targets:   []prediction{{4, 3}, {5, 4}, {12, 5}, {13, 6}},
		}},
		{"append", placement.Append, 1, marks, Packed{
			tokens:    []int32{0, 1, 2, 3, 4, 90, 20, 21, 91, 3, 90, 20, 21, 91, 5},
			positions: []int{0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9},
			segments: []cpu.Segment{
				{First: 0, Count: 5},
				{First: 5, Count: 4, Sees: []cpu.Run{{From: 0, To: 3}}}, {First: 9, Count: 1, Sees: []cpu.Run{{From: 0, To: 3}, {From: 5, To: 9}}},
				{First: 10, Count: 4, Sees: []cpu.Run{{From: 0, To: 5}}}, {First: 14, Count: 1, Sees: []cpu.Run{{From: 0, To: 5}, {From: 10, To: 14}}},
			}, context: 5,
			targets: []prediction{{8, 3}, {9, 4}, {13, 5}, {14, 6}},
		}},
		{"append echo", echo, 1, nil, Packed{
			tokens:    []int32{0, 1, 2, 3, 4, 20, 21, 1, 2, 3, 20, 21, 3, 4, 5},
			positions: []int{0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9},
			segments: []cpu.Segment{
				{First: 0, Count: 5},
				{First: 5, Count: 2, Sees: []cpu.Run{{From: 0, To: 3}}}, {First: 7, Count: 3, Sees: []cpu.Run{{From: 0, To: 3}, {From: 5, To: 7}}},
				{First: 10, Count: 2, Sees: []cpu.Run{{From: 0, To: 5}}}, {First: 12, Count: 3, Sees: []cpu.Run{{From: 0, To: 5}, {From: 10, To: 12}}},
			}, context: 5,
			targets: []prediction{{8, 3}, {9, 4}, {13, 5}, {14, 6}},
		}},
		{"virtual 2", placement.Virtual, 2, nil, Packed{ // the first stride's passage is the second's first
			tokens:    []int32{0, 1, 2, 3, 20, 21, 2, 3, 30, 4, 5},
			positions: []int{0, 1, 2, 3, -2, -1, 2, 3, -1, 4, 5},
			segments: []cpu.Segment{
				{First: 0, Count: 4},
				{First: 4, Count: 2, Sees: []cpu.Run{{From: 0, To: 1}}},
				{First: 6, Count: 2, Sees: []cpu.Run{{From: 0, To: 2}, {From: 4, To: 6}}},
				{First: 8, Count: 1, Sees: []cpu.Run{{From: 0, To: 1}}},
				{First: 9, Count: 2, Sees: []cpu.Run{{From: 0, To: 4}, {From: 4, To: 6}, {From: 8, To: 9}}},
			}, context: 4,
			targets: []prediction{{6, 3}, {7, 4}, {9, 5}, {10, 6}},
		}},
		{"virtual echo", again, 1, nil, Packed{
			tokens:    []int32{0, 1, 20, 21, 1, 2, 3, 2, 3, 4, 5},
			positions: []int{0, 1, -2, -1, 1, 2, 3, 2, 3, 4, 5},
			segments: []cpu.Segment{
				{First: 0, Count: 2},
				{First: 2, Count: 2, Sees: []cpu.Run{{From: 0, To: 1}}},
				{First: 4, Count: 3, Sees: []cpu.Run{{From: 0, To: 1}, {From: 2, To: 4}}},
				{First: 7, Count: 4, Sees: []cpu.Run{{From: 0, To: 2}, {From: 2, To: 4}}},
			}, context: 2,
			targets: []prediction{{5, 3}, {6, 4}, {9, 5}, {10, 6}},
		}},
	} {
		got, err := Pack(window, c.placement, c.k, c.marks, 2)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		same := func(a, b cpu.Segment) bool {
			return a.First == b.First && a.Count == b.Count && slices.Equal(a.Sees, b.Sees)
		}
		if !slices.Equal(got.tokens, c.want.tokens) || !slices.Equal(got.positions, c.want.positions) ||
			!slices.EqualFunc(got.segments, c.want.segments, same) || got.context != c.want.context || !slices.Equal(got.targets, c.want.targets) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, *got, c.want)
		}
	}
}

func TestPackRefuses(t *testing.T) {
	passages := []trainset.Passage{{Tokens: []int32{1}}}
	at := func(contexts ...int) trainset.Window {
		w := trainset.Window{Document: "d", Tokens: make([]int32, 20)}
		for _, c := range contexts {
			w.Strides = append(w.Strides, trainset.Stride{Context: c, Passages: passages})
		}
		return w
	}
	inChat := placement.Prepend
	inChat.At = 3
	for _, c := range []struct {
		name      string
		window    trainset.Window
		placement placement.Placement
		k, target int
		want      string
	}{
		{"no stride", at(), placement.Append, 1, 5, "no stride"},
		{"no target", at(5), placement.Append, 1, 0, "target"},
		{"no context", at(5, 0), placement.Append, 1, 5, "stride 1 has a context of 0"},
		{"short window", at(16), placement.None, 1, 5, "stride 0 has a context of 16"},
		{"huge context", at(int(^uint(0) >> 1)), placement.None, 1, 5, "stride 0"},
		{"no passage", at(5), placement.Virtual, 0, 5, "0 passages"},
		{"branches", at(5), placement.Append, 2, 5, "a branch"},
		{"chat", at(5), inChat, 1, 5, "at 0 only"},
	} {
		if _, err := Pack(c.window, c.placement, c.k, nil, c.target); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"d"`) {
			t.Errorf("%s: want an error about %q, got %v", c.name, c.want, err)
		}
	}
}
