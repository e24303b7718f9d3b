package kvcache

import "testing"

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int // of a token with one head of 40 in one layer
	}{{"f32", 2 * 40 * 4}, {"f16", 2 * 40 * 2}, {"q8", 2 * (40 + 2*4)}} {
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

// TestCodedEntries writes a number of its own to everything a token has and finds
// all of them in the blocks of a fork.
func TestCodedEntries(t *testing.T) {
	shape := Shape{Layers: 2, KVHeads: 3, HeadDim: 40, Format: Q8}
	p, err := NewPool(shape, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	s := p.NewSpan(0)
	const tokens = PageTokens + 3
	visit := func(do func(layer, head, i, code int, scale float32)) {
		for l := range shape.Layers {
			for h := range shape.KVHeads {
				for i := range tokens {
					do(l, h, i, (7*l+5*h+i)%60, float32(100*l+50*h+i))
				}
			}
		}
	}
	if err := s.Extend(tokens); err != nil {
		t.Fatal(err)
	}
	visit(func(l, h, i, code int, scale float32) {
		k, v := s.CodedEntry(l, h, i)
		for d := range shape.HeadDim {
			k.Codes[d*PageTokens], v.Codes[d] = int8(code+d), -int8(code+d)
		}
		for c := range 2 {
			k.Scales[c*PageTokens], v.Scales[c*PageTokens] = scale+float32(c)/2, -scale-float32(c)/2
		}
	})
	f := s.Fork()
	if err := f.Extend(1); err != nil { // its own copy of the last page
		t.Fatal(err)
	}
	visit(func(l, h, i, code int, scale float32) {
		k, v := f.CodedBlock(l, h, i/PageTokens)
		at := i % PageTokens
		for d := range shape.HeadDim {
			if want := int8(code + d); k.Codes[d*PageTokens+at] != want || v.Codes[at*shape.HeadDim+d] != -want {
				t.Fatalf("layer %d head %d token %d: codes %d are %d, %d, want ± %d", l, h, i, d, k.Codes[d*PageTokens+at], v.Codes[at*shape.HeadDim+d], want)
			}
		}
		for c := range 2 {
			if want := scale + float32(c)/2; k.Scales[c*PageTokens+at] != want || v.Scales[c*PageTokens+at] != -want {
				t.Fatalf("layer %d head %d token %d: scales are %v, %v, want ± %v", l, h, i, k.Scales[c*PageTokens+at], v.Scales[c*PageTokens+at], want)
			}
		}
	})
}
