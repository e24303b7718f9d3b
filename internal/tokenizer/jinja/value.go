package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is nil (none), undefined, bool, int, float64, string, []any, *Dict, *namespace or function. None but a namespace
// changes once made.

// undefined is what a name, key or attribute that is not there gives: false and empty, but without attributes.
type undefined struct{ name string }

// Dict is a mapping from strings that keeps the order of its entries.
type Dict struct {
	keys   []string
	values map[string]any
}

// NewDict makes a mapping of alternating keys, which are strings, and values.
func NewDict(entries ...any) *Dict {
	d := &Dict{values: make(map[string]any, len(entries)/2)}
	for i := 0; i+1 < len(entries); i += 2 {
		d.Set(entries[i].(string), entries[i+1])
	}
	return d
}

// Set adds or replaces an entry.
func (d *Dict) Set(key string, value any) {
	if !d.has(key) {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

func (d *Dict) has(key string) bool { _, ok := d.values[key]; return ok }

// namespace is the one value that changes: what namespace() gives.
type namespace struct{ Dict }

func (n *namespace) set(r *render, key string, value any) {
	r.charge(entryBytes)
	n.Set(key, value)
}

// function is what can be called: a global or a method bound to its value.
type function func(r *render, args arguments) any

type keyword struct {
	name  string
	value any
}

type arguments struct {
	positional []any
	keywords   []keyword
}

// after puts a value before the positional arguments: what a filter or test is applied to.
func (a arguments) after(first any) arguments {
	a.positional = append([]any{first}, a.positional...)
	return a
}

// get gives an argument by its place or name, or otherwise when it is not there.
func (a arguments) get(i int, name string, otherwise any) any {
	if i < len(a.positional) {
		return a.positional[i]
	}
	for _, k := range a.keywords {
		if k.name == name {
			return k.value
		}
	}
	return otherwise
}

// str gives an argument that must be a string.
func (a arguments) str(i int, name string) string {
	s, ok := a.get(i, name, undefined{name}).(string)
	if !ok {
		failf("%s must be a string, not %s", name, describe(a.get(i, name, undefined{name})))
	}
	return s
}

// loopDict is the variable "loop" of a for block.
func loopDict(items []any, i int) *Dict {
	d := NewDict("index", i+1, "index0", i, "revindex", len(items)-i, "revindex0", len(items)-i-1,
		"first", i == 0, "last", i == len(items)-1, "length", len(items))
	if i > 0 {
		d.Set("previtem", items[i-1])
	}
	if i+1 < len(items) {
		d.Set("nextitem", items[i+1])
	}
	return d
}

func truth(value any) bool {
	switch v := value.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// integer gives the value of an int or bool.
func integer(value any) (int, bool) {
	switch v := value.(type) {
	case int:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func mustInteger(value any) int {
	n, ok := integer(value)
	if !ok {
		failf("%s is no whole number", describe(value))
	}
	return n
}

func float(value any) (float64, bool) {
	if f, ok := value.(float64); ok {
		return f, true
	}
	n, ok := integer(value)
	return float64(n), ok
}

func (r *render) equal(a, b any) bool {
	defer r.nest()()
	r.step()
	if x, ok := float(a); ok {
		y, ok := float(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case string:
		y, ok := b.(string)
		r.scan(a)
		return ok && x == y
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !r.equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case *Dict:
		y, ok := b.(*Dict)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		for _, key := range x.keys {
			if !y.has(key) || !r.equal(x.values[key], y.values[key]) {
				return false
			}
		}
		return true
	}
	return false
}

// attribute gives value.name: a method, else an entry.
func attribute(r *render, value any, name string) any {
	switch v := value.(type) {
	case undefined:
		failf("%s is undefined, so %s.%s is too", v.name, v.name, name)
	case string:
		if m, ok := stringMethods[name]; ok {
			return function(func(r *render, a arguments) any { r.scan(v); return m(r, v, a) })
		}
	case *Dict:
		if m, ok := dictMethods[name]; ok {
			return function(func(r *render, a arguments) any { return m(r, v, a) })
		}
		return entry(v, name)
	case *namespace:
		return entry(&v.Dict, name)
	}
	return undefined{name}
}

func entry(d *Dict, key string) any {
	if v, ok := d.values[key]; ok {
		return v
	}
	return undefined{key}
}

// item gives value[index].
func item(r *render, value, index any) any {
	if key, ok := index.(string); ok {
		switch v := value.(type) {
		case *Dict:
			return entry(v, key)
		case undefined:
			failf("%s is undefined, so it has no entry %q", v.name, key)
		}
		return attribute(r, value, key)
	}
	i, ok := integer(index)
	if !ok {
		return undefined{describe(index)}
	}
	switch v := value.(type) {
	case undefined:
		failf("%s is undefined, so it has no element %d", v.name, i)
	case []any:
		if i < 0 {
			i += len(v)
		}
		if i >= 0 && i < len(v) {
			return v[i]
		}
	case string:
		r.scan(v)
		return character(v, i)
	}
	return undefined{fmt.Sprintf("element %d", i)}
}

// character gives the i-th character of s, from its end when i is negative.
func character(s string, i int) any {
	if i < 0 {
		i += utf8.RuneCountInString(s)
	}
	for start := range s {
		if i == 0 {
			_, n := utf8.DecodeRuneInString(s[start:])
			return s[start : start+n]
		}
		i--
	}
	return undefined{"a character past the end"}
}

// describe names a value in an error message.
func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "none"
	case undefined:
		return v.name + ", which is undefined,"
	case string:
		if len(v) > 40 {
			v = v[:40] + "…"
		}
		return strconv.Quote(v)
	case []any:
		return "a list"
	case *Dict, *namespace:
		return "a mapping"
	case function:
		return "a function"
	}
	return fmt.Sprint(value)
}

// str writes a value as Python's str does.
func (r *render) str(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	var b strings.Builder
	r.repr(&b, value)
	return b.String()
}

// repr writes a value as Python's repr does.
func (r *render) repr(b *strings.Builder, value any) {
	defer r.nest()()
	r.step()
	start := b.Len()
	defer func() { r.charge(b.Len() - start) }()
	switch v := value.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int:
		b.WriteString(strconv.Itoa(v))
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if v == math.Trunc(v) && !strings.ContainsAny(s, "e.") {
			s += ".0"
		}
		b.WriteString(s)
	case string:
		quote := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			quote = `"`
		}
		b.WriteString(quote)
		strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, quote, `\`+quote).WriteString(b, v)
		b.WriteString(quote)
	case []any, *Dict:
		container(b, v, r.repr)
	default:
		failf("%s cannot be written", describe(value))
	}
}

// container writes a list or a dictionary, which look the same as Python and as
// JSON but for their elements.
func container(b *strings.Builder, value any, write func(*strings.Builder, any)) {
	switch v := value.(type) {
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, element)
		}
		b.WriteByte(']')
	case *Dict:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, key)
			b.WriteString(": ")
			write(b, v.values[key])
		}
		b.WriteByte('}')
	}
}
