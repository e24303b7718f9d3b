package kvcache

import "testing"

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int // of a token with one head of 40 in one layer
	}{{"f32", 2 * 40 * 4}, {"f16", 2 * 40 * 2}, {"q8", 2 * (40 + 2*4)}, {"i16", 2 * (40*2 + 4)}} {
		f, err := ParseFormat(tt.name)
		if err != nil || f.String() != tt.name {
			t.Errorf("%s is read as %v, %v", tt.name, f, err)
		}
		if got := (Shape{Layers: 1, KVHeads: 1, HeadDim: 40, Format: f}).TokenBytes(); got != tt.bytes {
			t.Errorf("%s takes %d bytes a token, want %d", tt.name, got, tt.bytes)
		}
	}
	if _, err := ParseFormat("q4"); err == nil {
		t.Error("q4 was accepted")
	}
}
