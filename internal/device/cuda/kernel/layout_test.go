package kernel

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mirrored are the structs that Go and the .cu files share.
var mirrored = []any{
	KV{}, Group{}, Split{}, Rotate{}, Attend{}, Segment{}, Product{}, Share{}, Few{}, Norm{}, Embed{}, Gather{}, Elementwise{},
	Update{}, LowRank{}, Pack{}, Expand{}, Random{}, Choice{}, Choose{},
}

type field struct{ offset, size uintptr }

// layouts reads the structs of the .cu files, as C++ lays them out.
func layouts(t *testing.T) map[string][]field {
	files, _ := filepath.Glob("*.cu*")
	var text strings.Builder
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	source := regexp.MustCompile(`//[^\n]*`).ReplaceAllString(text.String(), "")
	array := regexp.MustCompile(`\[(\d+)\]`)
	found := map[string][]field{}
	sizes := map[string]uintptr{"int": 4, "float": 4, "u32": 4, "u64": 8}
	for range 2 { // those that hold others may come first
		for _, m := range regexp.MustCompile(`(?s)struct (?:alignas\(64\) )?(\w+) \{([^{}]*)\};`).FindAllStringSubmatch(source, -1) {
			var fields []field
			at, most := uintptr(0), uintptr(4)
			for statement := range strings.SplitSeq(m[2], ";") {
				statement = strings.TrimPrefix(strings.TrimSpace(statement), "const ")
				kind, names, ok := strings.Cut(statement, " ")
				if !ok {
					continue
				}
				pointer := strings.HasSuffix(kind, "*")
				for name := range strings.SplitSeq(names, ",") {
					size := sizes[kind]
					if pointer || strings.Contains(name, "*") {
						size = 8
					}
					align := uintptr(4)
					if size%8 == 0 && !strings.Contains("Group Split Choice", kind) {
						align = 8
					}
					count := uintptr(1)
					if a := array.FindStringSubmatch(name); a != nil {
						n, _ := strconv.Atoi(a[1])
						count = uintptr(n)
					}
					at = (at + align - 1) / align * align
					fields = append(fields, field{at, size * count})
					at, most = at+size*count, max(most, align)
				}
			}
			found[m[1]] = fields
			sizes[m[1]] = (at + most - 1) / most * most
		}
	}
	for name, size := range sizes {
		found[name] = append(found[name], field{size, 0})
	}
	return found
}

// TestStructsMirror compares each struct of Go with that of the .cu files, field by field.
func TestStructsMirror(t *testing.T) {
	found := layouts(t)
	for _, v := range mirrored {
		g := reflect.TypeOf(v)
		c := found[g.Name()]
		if len(c) != g.NumField()+1 {
			t.Errorf("%s has %d fields here and %d in the .cu files", g.Name(), g.NumField(), len(c)-1)
			continue
		}
		for i := range g.NumField() {
			f := g.Field(i)
			if (field{f.Offset, f.Type.Size()}) != c[i] {
				t.Errorf("%s.%s is at %d with %d bytes here, and at %d with %d in the .cu files", g.Name(), f.Name, f.Offset, f.Type.Size(), c[i].offset, c[i].size)
			}
		}
		if g.Size() != c[len(c)-1].offset {
			t.Errorf("%s has %d bytes here and %d in the .cu files", g.Name(), g.Size(), c[len(c)-1].offset)
		}
	}
}

// TestManyMirrors: maps are aligned to 64 bytes in C++, so the whole is a multiple of that.
func TestManyMirrors(t *testing.T) {
	var m Many
	if at, size := reflect.TypeFor[Many]().Field(2).Offset, reflect.TypeFor[Many]().Size(); at != 4*128 || size%64 != 0 || size-reflect.TypeOf(m.Product).Size()-at >= 64 {
		t.Errorf("the product is at %d of %d bytes", at, size)
	}
}
