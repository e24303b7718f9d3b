package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/tensor"
)

// small returns a file with a value of every type and a tensor of every type.
func small() *Writer {
	w := &Writer{}
	for _, key := range slices.Sorted(maps.Keys(everyValue)) {
		w.Set(key, everyValue[key])
	}
	for typ := tensor.Invalid + 1; typ < tensor.Types; typ++ {
		i := int(typ)
		m := tensor.Matrix{Name: "w." + typ.String(), Type: typ, Rows: 1 + i%3, Cols: typ.BlockWeights() * (1 + i%2)}
		m.Data = make([]byte, m.Rows*m.RowBytes())
		for j := range m.Data {
			m.Data[j] = byte(i*31 + j)
		}
		w.Add(m)
	}
	return w
}

var everyValue = map[string]any{
	"u8": uint8(255), "i8": int8(-1), "u16": uint16(65535), "i16": int16(-2), "u32": uint32(1 << 31), "i32": int32(-3),
	"u64": uint64(1 << 63), "i64": int64(-4), "f32": float32(1.5), "f64": 2.5, "b": true, "s": "naïve",
	"u8s": []uint8{1, 2}, "i8s": []int8{-1}, "u16s": []uint16{3}, "i16s": []int16{-3}, "u32s": []uint32{4, 5}, "i32s": []int32{-4, 6},
	"u64s": []uint64{7}, "i64s": []int64{-7}, "f32s": []float32{0.5}, "f64s": []float64{-0.5}, "bs": []bool{true, false},
	"ss": []string{"a", "", "ccc"}, "none": []string{},
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	w := small()
	if err := w.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !reflect.DeepEqual(f.Keys(), w.keys) {
		t.Errorf("keys %q, want %q", f.Keys(), w.keys)
	}
	again := &Writer{}
	for key, want := range everyValue {
		if got, err := f.Value(key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Value(%q) = %#v, %v; want %#v", key, got, err, want)
		}
	}
	for _, key := range f.Keys() {
		v, _ := f.Value(key)
		again.Set(key, v)
	}
	if len(f.Tensors()) != len(w.tensors) {
		t.Fatalf("%d tensors, want %d", len(f.Tensors()), len(w.tensors))
	}
	for _, source := range w.tensors {
		want := source.Matrix
		got, err := f.Tensor(want.Name)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Tensor(%q) = %v, %v; want %v", want.Name, got, err, want)
		}
		again.Add(got)
	}
	var a, b bytes.Buffer
	if err := w.Encode(&a); err != nil {
		t.Fatal(err)
	}
	if err := again.Encode(&b); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("writing what was read gives other bytes (%v)", err)
	}
}

func TestGetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := small().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	of := func(v any, err error) any {
		if err != nil {
			return err
		}
		return v
	}
	wrong := func(key string) string { return path + `: key "` + key + `" is ` }
	absent := path + `: there is no key "x"`
	for _, c := range []struct {
		name      string
		got, want any // want: a value, or the beginning of an error
	}{
		{"String", of(f.String("s")), "naïve"},
		{"String of number", of(f.String("u8")), wrong("u8")},
		{"String absent", of(f.String("x")), absent},
		{"Bool", of(f.Bool("b")), true},
		{"Bool of string", of(f.Bool("s")), wrong("s")},
		{"Uint u8", of(f.Uint("u8")), uint64(255)},
		{"Uint u64", of(f.Uint("u64")), uint64(1 << 63)},
		{"Uint negative", of(f.Uint("i32")), wrong("i32")},
		{"Uint float", of(f.Uint("f32")), wrong("f32")},
		{"Uint array", of(f.Uint("u32s")), wrong("u32s")},
		{"Float f32", of(f.Float("f32")), 1.5},
		{"Float i8", of(f.Float("i8")), -1.0},
		{"Float string", of(f.Float("s")), wrong("s")},
		{"Strings", of(f.Strings("ss")), []string{"a", "", "ccc"}},
		{"Strings of one", of(f.Strings("s")), wrong("s")},
		{"Ints i32", of(f.Ints("i32s")), []int64{-4, 6}},
		{"Ints u64", of(f.Ints("u64s")), []int64{7}},
		{"Ints floats", of(f.Ints("f32s")), wrong("f32s")},
		{"Floats", of(f.Floats("f32s")), []float64{0.5}},
		{"Floats ints", of(f.Floats("i32s")), wrong("i32s")},
		{"Tensor absent", of(f.Tensor("x")), path + `: there is no tensor "x"`},
	} {
		if err, ok := c.got.(error); ok {
			if want, ok := c.want.(string); !ok || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: error %v, want %v", c.name, err, c.want)
			}
		} else if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %#v, want %#v", c.name, c.got, c.want)
		}
	}
}

// raw builds a file from a tensor count, a key count and what follows: numbers as
// they are, strings with their length before them.
func raw(tensors, keys uint64, rest ...any) []byte {
	b := append([]byte(magic), 3, 0, 0, 0)
	for _, v := range append([]any{tensors, keys}, rest...) {
		switch v := v.(type) {
		case string:
			b = appendString(b, v)
		default:
			var err error
			if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	return b
}

// hostile are files that lie, with what the error must say beside the path.
var hostile = map[string]struct {
	file []byte
	want string
}{
	"empty":        {nil, "too few"},
	"not GGUF":     {[]byte("PK\x03\x04 a zip, perhaps, or a page of HTML"), "not a GGUF file"},
	"version 1":    {append([]byte("GGUF\x01\x00\x00\x00"), make([]byte, 16)...), "version 1 is not supported"},
	"big-endian":   {append([]byte("GGUF\x00\x00\x00\x03"), make([]byte, 16)...), "big-endian"},
	"keys 2^63":    {raw(0, 1<<63), "header (byte 24): it announces 9223372036854775808 keys"},
	"tensors 2^63": {raw(1<<63, 0), "tensor list (byte 24): it announces 9223372036854775808 tensors"},
	"key name":     {raw(0, 1, uint64(math.MaxInt64), [9]byte{}), "key 1 of 1 (byte 32): its name is 9223372036854775807 bytes long"},
	"key cut":      {raw(0, 1, uint64(40), [9]byte{}), "key 1 of 1 (byte 32): 40 bytes are needed where 9 are left"},
	"key binary":   {raw(0, 1, "\xff", uint32(0), uint8(1)), "is not text"},
	"key twice":    {raw(0, 2, "k", uint32(0), uint8(1), "k", uint32(0), uint8(1)), `key "k" (byte 52): it occurs twice`},
	"string 2^63":  {raw(0, 1, "k", uint32(typeString), uint64(1<<63)), `key "k" (byte 45): 9223372036854775808 bytes are needed where 0 are left`},
	"array 2^63": {raw(0, 1, "k", uint32(typeArray), uint32(typeUint64), uint64(1<<63-1), uint64(0)),
		`key "k" (byte 49): it announces 9223372036854775807 elements where 8 bytes are left`},
	"array cut":   {raw(0, 1, "k", uint32(typeArray), uint32(typeUint64), uint64(2), uint64(0)), "16 bytes are needed where 8 are left"},
	"strings cut": {raw(0, 1, "k", uint32(typeArray), uint32(typeString), uint64(2), "a"), "8 bytes are needed where 0 are left"},
	"nested":      {raw(0, 1, "k", uint32(typeArray), uint32(typeArray), uint64(1), uint64(0)), "arrays of arrays"},
	"value type":  {raw(0, 1, "k", uint32(13), uint64(0)), "type 13 are not known"},
	"bool":        {raw(0, 1, "k", uint32(typeBool), uint8(2)), "is no truth value"},
	"alignment":   {raw(0, 1, "general.alignment", uint32(typeUint32), uint32(24)), "not a power of two"},
	"split":       {raw(0, 1, "split.count", uint32(typeUint16), uint16(3)), `no key "split.`},

	"no dimensions": {raw(1, 0, "t", uint32(0), uint32(0), uint64(0), [64]byte{}), `tensor "t" (byte 37): it has 0 dimensions`},
	"5 dimensions":  {raw(1, 0, "t", uint32(5), [64]byte{}), "it has 5 dimensions"},
	"3 dimensions":  {raw(1, 0, "t", uint32(3), [3]uint64{2, 2, 2}, uint32(0), uint64(0), [64]byte{}), "dimensions [2 2 2]; only vectors and matrices"},
	"zero":          {raw(1, 0, "t", uint32(2), [2]uint64{2, 0}, uint32(0), uint64(0), [64]byte{}), "dimensions [2 0]"},
	"product":       {raw(1, 0, "t", uint32(2), [2]uint64{1<<31 - 1, 1<<31 - 1}, uint32(0), uint64(0), [64]byte{}), "end beyond the file"},
	"dimension":     {raw(1, 0, "t", uint32(2), [2]uint64{1 << 33, 1 << 33}, uint32(0), uint64(0), [64]byte{}), "not all from 1 to 2^31-1"},
	"IQ2_S":         {raw(1, 0, "t", uint32(1), uint64(256), uint32(22), uint64(0), [64]byte{}), `tensor "t" is stored as IQ2_S`},
	"type 99":       {raw(1, 0, "t", uint32(1), uint64(256), uint32(99), uint64(0), [64]byte{}), "type 99 is not known"},
	"block":         {raw(1, 0, "t", uint32(1), uint64(48), uint32(2), uint64(0), [64]byte{}), "not whole blocks of Q4_0 (32)"},
	"offset":        {raw(1, 0, "t", uint32(1), uint64(8), uint32(0), uint64(1<<63), [64]byte{}), "at offset 9223372036854775808 of the data end beyond"},
	"offset wrap":   {raw(1, 0, "t", uint32(1), uint64(8), uint32(0), uint64(1<<64-32), [64]byte{}), "end beyond"},
	"unaligned":     {raw(1, 0, "t", uint32(1), uint64(8), uint32(0), uint64(4), [64]byte{}), "offset 4 is not a multiple of the alignment 32"},
	"overlap": {raw(2, 0, "t", uint32(1), uint64(9), uint32(0), uint64(0), "u", uint32(1), uint64(8), uint32(0), uint64(32), [96]byte{}),
		`tensor "u" (byte 90): its data overlaps that of tensor "t"`},
	"tensor twice": {raw(2, 0, "t", uint32(1), uint64(8), uint32(0), uint64(0), "t", uint32(1), uint64(8), uint32(0), uint64(32), [96]byte{}), "occurs twice"},
}

func TestHostile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	for name, c := range hostile {
		if err := os.WriteFile(path, c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if s := err.Error(); !strings.Contains(s, path) || !strings.Contains(s, c.want) || !strings.Contains(s, ";") && name != "empty" {
			t.Errorf("%s: error %q, want the path, %q and what to do", name, s, c.want)
		}
	}
}

// TestDamaged cuts a good file at every byte and flips every bit of its head:
// each gives an error, or a file whose every part can be read.
func TestDamaged(t *testing.T) {
	var b bytes.Buffer
	if err := small().Encode(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	last := len(good)
	for good[last-1] == 0 { // padding behind the last tensor may go missing
		last--
	}
	for n := range last {
		f := &File{path: "m.gguf", data: good[:n:n]}
		if n < headerBytes {
			continue // Open refuses it by its size
		}
		if err := f.parse(); err == nil {
			t.Errorf("cut to %d of %d bytes: accepted", n, last)
		}
	}
	head := bytes.Index(good, []byte("w.Q6_K")) + 40
	bad := bytes.Clone(good)
	for bit := range head * 8 {
		bad[bit/8] ^= 1 << (bit % 8)
		f := &File{path: "m.gguf", data: bad}
		if f.parse() == nil {
			readAll(t, f)
		}
		bad[bit/8] ^= 1 << (bit % 8)
	}
}

// readAll reads whatever the file offers.
func readAll(t *testing.T, f *File) {
	for _, key := range f.Keys() {
		if _, err := f.Value(key); err != nil {
			t.Errorf("Value(%q): %v", key, err)
		}
	}
	for _, m := range f.Tensors() {
		sum := byte(0)
		for i := range m.Rows {
			for _, b := range m.Row(i) {
				sum += b
			}
		}
		_ = sum
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	if err := small().Encode(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	for _, c := range hostile {
		f.Add(c.file)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < headerBytes {
			return // Open refuses it by its size
		}
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Look(path); err == nil {
			for _, a := range s.Announced {
				a.Weights()
			}
			s.Close()
		}
		g := &File{path: "m.gguf", data: data}
		if err := g.parse(); err != nil {
			if !strings.HasPrefix(err.Error(), "m.gguf") {
				t.Errorf("error %q does not begin with the file", err)
			}
			return
		}
		readAll(t, g)
	})
}

func TestWriterRefuses(t *testing.T) {
	for name, fill := range map[string]func(*Writer){
		"value of type int": func(w *Writer) { w.Set("k", 1) },
		"invalid type":      func(w *Writer) { w.Add(tensor.Matrix{Name: "t", Rows: 1, Cols: 1}) },
		"too few bytes": func(w *Writer) {
			w.Add(tensor.Matrix{Name: "t", Type: tensor.F32, Rows: 1, Cols: 2, Data: make([]byte, 4)})
		},
		"half a block": func(w *Writer) { w.Add(tensor.Matrix{Name: "t", Type: tensor.Q8_0, Rows: 1, Cols: 16}) },
	} {
		dir := t.TempDir()
		w := &Writer{}
		fill(w)
		if err := w.WriteFile(filepath.Join(dir, "m.gguf")); err == nil {
			t.Errorf("%s: written", name)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: left %v behind", name, left)
		}
	}
}

// TestLook: a file is surveyed whatever its tensors are, up to where their list breaks off.
func TestLook(t *testing.T) {
	entry := func(name string, number uint32, dims ...uint64) []byte {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(name)))
		b = append(b, name...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(dims)))
		for _, d := range dims {
			b = binary.LittleEndian.AppendUint64(b, d)
		}
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, number), 0)
	}
	file := []byte("GGUF\x03\x00\x00\x00")
	file = binary.LittleEndian.AppendUint64(file, 4) // tensors
	file = binary.LittleEndian.AppendUint64(file, 1) // keys
	file = binary.LittleEndian.AppendUint64(file, 1)
	file = append(file, 'k')
	file = append(binary.LittleEndian.AppendUint32(file, uint32(typeUint8)), 7)
	file = append(file, entry("cube", 0, 2, 3, 4)...)
	file = append(file, entry("grid", 16, 256)...)
	file = append(file, entry("new", 999, 1<<62, 1<<62)...)
	path := filepath.Join(t.TempDir(), "odd.gguf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("opened")
	}
	s, err := Look(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Uint("k"); n != 7 || err != nil {
		t.Errorf("k is %d, %v", n, err)
	}
	var got []string
	for _, a := range s.Announced {
		got = append(got, fmt.Sprint(a.Name, a.Type, a.Dims, a.Weights()))
	}
	want := []string{"cubeF32[2 3 4] 24", "gridIQ2_XXS[256] 256", "newtype 999[4611686018427387904 4611686018427387904] 0"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
