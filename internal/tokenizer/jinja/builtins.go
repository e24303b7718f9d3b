package jinja

import (
	"fmt"
	"strings"
	"unicode"
)

// Globals, filters, tests and methods, by name. Each counts what it makes; what it reads has been counted by the caller.

type method[T any] func(r *render, of T, a arguments) any

// globals are the functions that a template may call.
var globals = map[string]function{
	"raise_exception": func(r *render, a arguments) any {
		failf("the template refuses the conversation: %s", a.str(0, "message"))
		return nil
	},
	"namespace": func(r *render, a arguments) any {
		n := &namespace{*NewDict()}
		for _, k := range a.keywords {
			n.set(r, k.name, k.value)
		}
		return n
	},
	"range": func(r *render, a arguments) any {
		start, stop, step := 0, 0, 1
		switch n := len(a.positional); n {
		case 1:
			stop = mustInteger(a.positional[0])
		case 2, 3:
			start, stop = mustInteger(a.positional[0]), mustInteger(a.positional[1])
			if n == 3 {
				step = mustInteger(a.positional[2])
			}
		default:
			failf("range takes 1 to 3 numbers")
		}
		if step == 0 {
			failf("range's step is zero")
		}
		var list []any
		for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
			r.step()
			list = r.append(list, i)
		}
		return list
	},
}

var filters = map[string]function{
	"trim":       func(r *render, a arguments) any { return strip(a, strings.Trim, strings.TrimFunc) },
	"lower":      func(r *render, a arguments) any { return r.made(strings.ToLower(r.str(a.positional[0]))) },
	"upper":      func(r *render, a arguments) any { return r.made(strings.ToUpper(r.str(a.positional[0]))) },
	"capitalize": func(r *render, a arguments) any { return r.made(capitalize(r.str(a.positional[0]))) },
	"string":     func(r *render, a arguments) any { return r.str(a.positional[0]) },
	"safe":       func(r *render, a arguments) any { return a.positional[0] },
	"length":     length,
	"count":      length,
	"list":       func(r *render, a arguments) any { return r.iterate(a.positional[0]) },
	"first":      func(r *render, a arguments) any { return item(r, r.iterate(a.positional[0]), 0) },
	"last":       func(r *render, a arguments) any { return item(r, r.iterate(a.positional[0]), -1) },
	"default":    orDefault,
	"d":          orDefault,
	"items":      func(r *render, a arguments) any { return dictItems(r, mustDict(a.positional[0]), arguments{}) },
	"join": func(r *render, a arguments) any {
		separator := r.str(a.get(1, "d", ""))
		return r.join(separator, a.positional[0])
	},
	"replace": func(r *render, a arguments) any {
		return r.replace(r.str(a.positional[0]), a.str(1, "old"), a.str(2, "new"))
	},
	"tojson": func(r *render, a arguments) any {
		if indent := a.get(1, "indent", nil); indent != nil {
			failf("tojson with an indent is not supported")
		}
		var b strings.Builder
		r.json(&b, a.positional[0])
		return b.String()
	},
	"selectattr": func(r *render, a arguments) any { return selectAttribute(r, a, true) },
	"rejectattr": func(r *render, a arguments) any { return selectAttribute(r, a, false) },
}

// selectAttribute keeps the elements of which an attribute passes a test, or by default is true.
func selectAttribute(r *render, a arguments, keep bool) any {
	name := a.str(1, "attribute")
	test, rest := function(func(_ *render, a arguments) any { return truth(a.positional[0]) }), arguments{}
	if len(a.positional) > 2 {
		test = tests[a.str(2, "test")]
		if test == nil {
			failf("the test %q is not supported", a.str(2, "test"))
		}
		rest.positional = a.positional[3:]
	}
	kept := r.list(0)
	for _, element := range r.iterate(a.positional[0]) {
		r.step()
		if truth(test(r, rest.after(attribute(r, element, name)))) == keep {
			kept = r.append(kept, element)
		}
	}
	return kept
}

func length(r *render, a arguments) any {
	switch v := a.positional[0].(type) {
	case undefined:
		return 0
	case string:
		n := 0
		for range v {
			n++
		}
		return n
	case []any:
		return len(v)
	case *Dict:
		return len(v.keys)
	}
	failf("%s has no length", describe(a.positional[0]))
	return nil
}

func orDefault(r *render, a arguments) any {
	_, missing := a.positional[0].(undefined)
	if missing || truth(a.get(2, "boolean", false)) && !truth(a.positional[0]) {
		return a.get(1, "default_value", "")
	}
	return a.positional[0]
}

// ofType makes a test for values of type T.
func ofType[T any](r *render, a arguments) any {
	_, ok := a.positional[0].(T)
	return ok
}

func negated(f function) function { return func(r *render, a arguments) any { return !truth(f(r, a)) } }

func isEqual(r *render, a arguments) any {
	return r.equal(a.positional[0], a.get(1, "other", undefined{"other"}))
}

var tests = map[string]function{
	"defined":   negated(ofType[undefined]),
	"undefined": ofType[undefined],
	"none":      func(r *render, a arguments) any { return a.positional[0] == nil },
	"string":    ofType[string],
	"boolean":   ofType[bool],
	"integer":   ofType[int],
	"float":     ofType[float64],
	"number":    func(r *render, a arguments) any { _, ok := float(a.positional[0]); return ok },
	"mapping":   ofType[*Dict],
	"sequence":  isSequence,
	"iterable":  isSequence,
	"true":      func(r *render, a arguments) any { return a.positional[0] == true },
	"false":     func(r *render, a arguments) any { return a.positional[0] == false },
	"equalto":   isEqual,
	"eq":        isEqual,
	"==":        isEqual,
	"ne":        negated(isEqual),
	"in": func(r *render, a arguments) any {
		return r.contains(a.get(1, "seq", undefined{"seq"}), a.positional[0])
	},
	"odd":  func(r *render, a arguments) any { return mod(mustInteger(a.positional[0]), 2) == 1 },
	"even": func(r *render, a arguments) any { return mod(mustInteger(a.positional[0]), 2) == 0 },
}

func isSequence(r *render, a arguments) any {
	switch a.positional[0].(type) {
	case string, []any, *Dict:
		return true
	}
	return false
}

var stringMethods = map[string]method[string]{
	"strip": func(r *render, s string, a arguments) any {
		return strip(a.after(s), strings.Trim, strings.TrimFunc)
	},
	"lstrip": func(r *render, s string, a arguments) any {
		return strip(a.after(s), strings.TrimLeft, strings.TrimLeftFunc)
	},
	"rstrip": func(r *render, s string, a arguments) any {
		return strip(a.after(s), strings.TrimRight, strings.TrimRightFunc)
	},
	"lower":      func(r *render, s string, a arguments) any { return r.made(strings.ToLower(s)) },
	"upper":      func(r *render, s string, a arguments) any { return r.made(strings.ToUpper(s)) },
	"capitalize": func(r *render, s string, a arguments) any { return r.made(capitalize(s)) },
	"startswith": func(r *render, s string, a arguments) any { return strings.HasPrefix(s, a.str(0, "prefix")) },
	"endswith":   func(r *render, s string, a arguments) any { return strings.HasSuffix(s, a.str(0, "suffix")) },
	"replace":    func(r *render, s string, a arguments) any { return r.replace(s, a.str(0, "old"), a.str(1, "new")) },
	"join": func(r *render, s string, a arguments) any {
		return r.join(s, a.get(0, "iterable", undefined{"iterable"}))
	},
	"split": split,
}

var dictMethods = map[string]method[*Dict]{
	"items":  dictItems,
	"keys":   func(r *render, d *Dict, a arguments) any { return r.iterate(d) },
	"values": dictValues,
	"get": func(r *render, d *Dict, a arguments) any {
		if v, ok := d.values[a.str(0, "key")]; ok {
			return v
		}
		return a.get(1, "default", nil)
	},
}

func mustDict(value any) *Dict {
	d, ok := value.(*Dict)
	if !ok {
		failf("%s is no mapping", describe(value))
	}
	return d
}

func dictItems(r *render, d *Dict, _ arguments) any {
	list := r.list(0)
	for _, key := range d.keys {
		list = r.append(list, append(r.list(2), key, d.values[key]))
	}
	return list
}

func dictValues(r *render, d *Dict, _ arguments) any {
	list := r.list(len(d.keys))
	for _, key := range d.keys {
		list = append(list, d.values[key])
	}
	return list
}

// made counts a string that a function of the standard library has made.
func (r *render) made(s string) string {
	r.charge(len(s))
	return s
}

// strip takes blanks off the first argument, or the characters in the second.
func strip(a arguments, of func(s, cutset string) string, blanks func(string, func(rune) bool) string) any {
	s, ok := a.positional[0].(string)
	if !ok {
		if _, missing := a.positional[0].(undefined); missing {
			return ""
		}
		failf("%s is no text", describe(a.positional[0]))
	}
	if a.get(1, "chars", nil) == nil {
		return blanks(s, isBlank)
	}
	return of(s, a.str(1, "chars"))
}

// isBlank is Python's str.isspace.
func isBlank(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

func capitalize(s string) string {
	for i := range s {
		if i > 0 {
			return strings.ToUpper(s[:i]) + strings.ToLower(s[i:])
		}
	}
	return strings.ToUpper(s)
}

// split is Python's: by blanks, none of the parts empty, or by a separator, at most maxsplit times.
func split(r *render, s string, a arguments) any {
	most := mustInteger(a.get(1, "maxsplit", -1))
	separator := a.get(0, "sep", nil)
	list := r.list(0)
	if separator == nil {
		for s = strings.TrimLeftFunc(s, isBlank); s != ""; s = strings.TrimLeftFunc(s, isBlank) {
			n := strings.IndexFunc(s, isBlank)
			if n < 0 || most >= 0 && len(list) == most {
				n = len(s)
			}
			list = r.append(list, s[:n])
			s = s[n:]
		}
		return list
	}
	by, ok := separator.(string)
	if !ok || by == "" {
		failf("split needs a separator that is not empty")
	}
	for most < 0 || len(list) < most {
		before, after, found := strings.Cut(s, by)
		if !found {
			break
		}
		list = r.append(list, before)
		s = after
	}
	return r.append(list, s)
}

func (r *render) replace(s, old, with string) string {
	n := strings.Count(s, old)
	if grown := len(with) - len(old); grown > 0 && n > r.bytes/grown {
		r.charge(r.bytes + 1)
	}
	r.charge(len(s) + n*(len(with)-len(old)))
	return strings.ReplaceAll(s, old, with)
}

func (r *render) join(separator string, list any) string {
	var b strings.Builder
	for i, element := range r.iterate(list) {
		r.step()
		if i > 0 {
			r.charge(len(separator))
			b.WriteString(separator)
		}
		text := r.str(element)
		r.charge(len(text))
		b.WriteString(text)
	}
	return b.String()
}

// json writes a value as Python's json.dumps does with ensure_ascii=False.
func (r *render) json(b *strings.Builder, value any) {
	defer r.nest()()
	r.step()
	switch v := value.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, v)
	case int, float64:
		b.WriteString(r.str(v))
	case string:
		r.charge(6 * len(v))
		b.WriteByte('"')
		for i := range len(v) {
			switch c := v[i]; {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ':
				if short := strings.IndexByte("\b\f\n\r\t", c); short >= 0 {
					b.WriteByte('\\')
					b.WriteByte("bfnrt"[short])
				} else {
					fmt.Fprintf(b, `\u%04x`, c)
				}
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	case []any, *Dict:
		container(b, v, r.json)
	default:
		failf("%s has no JSON form", describe(value))
	}
}
