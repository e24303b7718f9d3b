package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is nil (none), undefined, bool, int, float64, string, []any, tuple, *Dict, *namespace, *loop or function. None but
// a namespace changes once made.

// undefined is what a name, key or attribute that is not there gives: false and empty, but without attributes.
type undefined struct{ name string }

// tuple is a list that is written in parentheses.
type tuple []any

// sequence gives the elements of a list or tuple.
func sequence(value any) (elements []any, ok bool) {
	switch v := value.(type) {
	case []any:
		return v, true
	case tuple:
		return v, true
	}
	return nil, false
}

// Dict is a mapping that keeps the order of its entries. Keys are strings, numbers, truth values or none.
type Dict struct {
	keys   []any // as they are written
	values map[any]any
}

// NewDict makes a mapping of alternating keys and values.
func NewDict(entries ...any) *Dict {
	d := &Dict{values: make(map[any]any, len(entries)/2)}
	for i := 0; i+1 < len(entries); i += 2 {
		d.Set(entries[i], entries[i+1])
	}
	return d
}

// Set adds or replaces an entry. A key that cannot be one is left out.
func (d *Dict) Set(key, value any) {
	if key, ok := keyOf(key); ok {
		if !d.has(key) {
			d.keys = append(d.keys, key)
		}
		d.values[key] = value
	}
}

func (d *Dict) has(key any) bool { _, ok := d.values[key]; return ok }

// keyOf gives a key such that equal ones are one: 1, 1.0 and true are, as in Python.
func keyOf(value any) (key any, ok bool) {
	switch v := value.(type) {
	case nil, string, int:
		return v, true
	case bool:
		n, _ := integer(v)
		return n, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v), true
		}
		return v, v == v
	}
	return nil, false
}

func mustKey(value any) any {
	key, ok := keyOf(value)
	if !ok {
		failf("%s cannot be the key of a mapping", describe(value))
	}
	return key
}

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

// get gives an argument by its place, -1 for none, or name, or otherwise when it is not there.
func (a arguments) get(i int, name string, otherwise any) any {
	if i >= 0 && i < len(a.positional) {
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
	case tuple:
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
		return ok && r.equalElements(x, y)
	case tuple:
		y, ok := b.(tuple)
		return ok && r.equalElements(x, y)
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

func (r *render) equalElements(x, y []any) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !r.equal(x[i], y[i]) {
			return false
		}
	}
	return true
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
	case *loop:
		return entry(&v.Dict, name)
	case []any, tuple:
		elements, _ := sequence(v)
		if m, ok := listMethods[name]; ok {
			return function(func(r *render, a arguments) any { return m(r, elements, a) })
		}
	}
	return undefined{name}
}

func entry(d *Dict, key any) any {
	if key, ok := keyOf(key); ok && d.has(key) {
		return d.values[key]
	}
	return undefined{describe(key)}
}

// item gives value[index].
func item(r *render, value, index any) any {
	if key, ok := index.(string); ok {
		switch v := value.(type) {
		case *Dict:
			if v.has(key) {
				return v.values[key]
			}
		case undefined:
			failf("%s is undefined, so it has no entry %q", v.name, key)
		}
		return attribute(r, value, key)
	}
	if d, ok := value.(*Dict); ok {
		return entry(d, index)
	}
	i, ok := integer(index)
	if !ok {
		return undefined{describe(index)}
	}
	switch v := value.(type) {
	case undefined:
		failf("%s is undefined, so it has no element %d", v.name, i)
	case []any, tuple:
		elements, _ := sequence(v)
		if i < 0 {
			i += len(elements)
		}
		if i >= 0 && i < len(elements) {
			return elements[i]
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
		return strconv.Quote(clip(v))
	case []any, tuple:
		return "a list"
	case *Dict, *namespace, *loop:
		return "a mapping"
	case function:
		return "a function"
	}
	return fmt.Sprint(value)
}

// clip shortens a text for an error message.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
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
		b.WriteString(floatText(v))
	case string:
		quote := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			quote = `"`
		}
		b.WriteString(quote)
		strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, quote, `\`+quote).WriteString(b, v)
		b.WriteString(quote)
	case tuple:
		b.WriteByte('(')
		r.elements(b, v, r.repr)
		if len(v) == 1 {
			b.WriteByte(',')
		}
		b.WriteByte(')')
	case []any:
		b.WriteByte('[')
		r.elements(b, v, r.repr)
		b.WriteByte(']')
	case *Dict:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			r.repr(b, key)
			b.WriteString(": ")
			r.repr(b, v.values[key])
		}
		b.WriteByte('}')
	default:
		failf("%s cannot be written", describe(value))
	}
}

func (r *render) elements(b *strings.Builder, list []any, write func(*strings.Builder, any)) {
	for i, element := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		write(b, element)
	}
}

// floatText writes a number as Python does.
func floatText(v float64) string {
	switch {
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(v, 'f', -1, 64)), "+")
	}
	if size := math.Abs(v); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
