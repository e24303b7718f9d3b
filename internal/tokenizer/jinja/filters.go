package jinja

import (
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// filters are what may stand behind "|".
var filters map[string]function

func init() { // some of them look filters and tests up by name
	of := func(f func(r *render, s string) string) function {
		return func(r *render, a arguments) any { return r.made(f(r, r.str(a.positional[0]))) }
	}
	plain := func(f func(string) string) function { return of(func(_ *render, s string) string { return f(s) }) }
	filters = map[string]function{
		"trim":       func(r *render, a arguments) any { return strip(r, a, strings.Trim, strings.TrimFunc) },
		"lower":      plain(strings.ToLower),
		"upper":      plain(strings.ToUpper),
		"capitalize": plain(capitalize),
		"title":      plain(titleWords),
		"string":     func(r *render, a arguments) any { return r.str(a.positional[0]) },
		"safe":       func(r *render, a arguments) any { return a.positional[0] },
		"escape":     plain(escape),
		"e":          plain(escape),
		"format": func(r *render, a arguments) any {
			var of any = tuple(a.positional[1:])
			if len(a.keywords) > 0 {
				named := NewDict()
				for _, k := range a.keywords {
					named.Set(k.name, k.value)
				}
				of = named
			}
			return r.printf(r.str(a.positional[0]), of)
		},
		"center": func(r *render, a arguments) any {
			return r.pad(r.str(a.positional[0]), mustInteger(a.get(1, "width", 80)), " ", centre)
		},
		"indent":    indent,
		"wordcount": func(r *render, a arguments) any { return len(strings.Fields(r.str(a.positional[0]))) },
		"replace": func(r *render, a arguments) any {
			return r.replace(r.str(a.positional[0]), r.str(a.get(1, "old", undefined{"old"})), r.str(a.get(2, "new", undefined{"new"})), count(a, 3))
		},

		"abs":   absolute,
		"int":   toInt,
		"float": toFloat,
		"round": round,

		"length":  length,
		"count":   length,
		"list":    func(r *render, a arguments) any { return slices.Clone(r.iterate(a.positional[0])) },
		"first":   func(r *render, a arguments) any { return item(r, r.iterate(a.positional[0]), 0) },
		"last":    func(r *render, a arguments) any { return item(r, r.iterate(a.positional[0]), -1) },
		"default": orDefault,
		"d":       orDefault,
		"items": func(r *render, a arguments) any {
			if _, missing := a.positional[0].(undefined); missing {
				return []any{}
			}
			return dictItems(r, mustDict(a.positional[0]), arguments{})
		},
		"dictsort": dictSort,
		"join": func(r *render, a arguments) any {
			list := a.positional[0]
			if name := a.get(2, "attribute", nil); name != nil {
				list = r.mapped(list, func(e any) any { return path(r, e, name) })
			}
			return r.join(r.str(a.get(1, "d", "")), list)
		},
		"reverse": reversed,
		"sort":    sorted,
		"unique":  unique,
		"sum":     sum,
		"min":     func(r *render, a arguments) any { return extreme(r, a, "<") },
		"max":     func(r *render, a arguments) any { return extreme(r, a, ">") },
		"batch":   batch,
		"slice":   slices_,
		"tojson":  toJSON,
		"attr":    func(r *render, a arguments) any { return attribute(r, a.positional[0], a.str(1, "name")) },
		"map":     mapFilter,
		"select": func(r *render, a arguments) any {
			return r.selected(a, 1, true, func(e any) any { return e })
		},
		"reject": func(r *render, a arguments) any {
			return r.selected(a, 1, false, func(e any) any { return e })
		},
		"selectattr": func(r *render, a arguments) any { return selectAttribute(r, a, true) },
		"rejectattr": func(r *render, a arguments) any { return selectAttribute(r, a, false) },
	}
}

func escape(s string) string { return html.EscapeString(s) }

// count is the argument that says how many times at most; -1 for any number.
func count(a arguments, i int) int {
	n := a.get(i, "count", nil)
	if n == nil {
		return -1
	}
	return mustInteger(n)
}

func (r *render) mapped(list any, f func(any) any) []any {
	made := r.list(0)
	for _, e := range r.iterate(list) {
		r.step()
		made = r.append(made, f(e))
	}
	return made
}

// path gives the attribute of a name with dots, or an element by its number.
func path(r *render, value, name any) any {
	text, ok := name.(string)
	if !ok {
		return item(r, value, name)
	}
	for part := range strings.SplitSeq(text, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			value = item(r, value, n)
		} else {
			value = item(r, value, part)
		}
	}
	return value
}

// mapFilter applies a filter to each element, or takes an attribute of each.
func mapFilter(r *render, a arguments) any {
	if !truth(a.positional[0]) { // none too
		return r.list(0)
	}
	if len(a.positional) == 1 {
		name := a.get(1, "attribute", nil)
		if name == nil {
			failf("map needs the name of a filter or an attribute")
		}
		otherwise := a.get(-1, "default", nil)
		return r.mapped(a.positional[0], func(e any) any {
			value := path(r, e, name)
			if _, missing := value.(undefined); missing && otherwise != nil {
				return otherwise
			}
			return value
		})
	}
	name := a.str(1, "filter")
	f := filters[name]
	if f == nil {
		failf("the filter %q is not supported", name)
	}
	rest := arguments{a.positional[2:], a.keywords}
	return r.mapped(a.positional[0], func(e any) any { r.scan(e); return f(r, rest.after(e)) })
}

// selected keeps the elements of which something passes a test, whose name is the argument at, or by default is true.
func (r *render) selected(a arguments, at int, keep bool, of func(any) any) any {
	test, rest := function(func(_ *render, a arguments) any { return truth(a.positional[0]) }), arguments{}
	if len(a.positional) > at {
		test = tests[a.str(at, "test")]
		if test == nil {
			failf("the test %q is not supported", a.str(at, "test"))
		}
		rest = arguments{a.positional[at+1:], a.keywords}
	}
	kept := r.list(0)
	if !truth(a.positional[0]) { // none too
		return kept
	}
	for _, element := range r.iterate(a.positional[0]) {
		r.step()
		if truth(test(r, rest.after(of(element)))) == keep {
			kept = r.append(kept, element)
		}
	}
	return kept
}

func selectAttribute(r *render, a arguments, keep bool) any {
	name := a.get(1, "attribute", undefined{"attribute"})
	return r.selected(a, 2, keep, func(e any) any { return path(r, e, name) })
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
	case tuple:
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

func absolute(r *render, a arguments) any {
	if n, ok := integer(a.positional[0]); ok {
		return max(n, -n)
	}
	f, ok := a.positional[0].(float64)
	if !ok {
		failf("%s is no number", describe(a.positional[0]))
	}
	return math.Abs(f)
}

func toInt(r *render, a arguments) any {
	otherwise := a.get(1, "default", 0)
	switch v := a.positional[0].(type) {
	case string:
		text := strings.ReplaceAll(strings.TrimFunc(v, isBlank), "_", "")
		base := mustInteger(a.get(2, "base", 10))
		if base < 2 || base > 36 {
			failf("the base %d of a number is not from 2 to 36", base)
		}
		if prefix := map[int]string{2: "0b", 8: "0o", 16: "0x"}[base]; prefix != "" {
			text = strings.TrimPrefix(strings.ToLower(text), prefix)
		}
		if n, err := strconv.ParseInt(text, base, 64); err == nil {
			return int(n)
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1<<63 {
			return int(f)
		}
		return otherwise
	case float64:
		if math.Abs(v) < 1<<63 {
			return int(v)
		}
		return otherwise
	}
	if n, ok := integer(a.positional[0]); ok {
		return n
	}
	return otherwise
}

func toFloat(r *render, a arguments) any {
	if s, ok := a.positional[0].(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(s, isBlank), 64); err == nil {
			return f
		}
		return a.get(1, "default", 0.0)
	}
	if f, ok := float(a.positional[0]); ok {
		return f
	}
	return a.get(1, "default", 0.0)
}

func round(r *render, a arguments) any {
	f, ok := float(a.positional[0])
	if !ok {
		failf("%s is no number", describe(a.positional[0]))
	}
	digits := mustInteger(a.get(1, "precision", 0))
	if digits < -300 || digits > 300 {
		failf("a number cannot be rounded to %d digits", digits)
	}
	scale := math.Pow(10, float64(digits))
	switch method := a.get(2, "method", "common"); method {
	case "ceil":
		return math.Ceil(f*scale) / scale
	case "floor":
		return math.Floor(f*scale) / scale
	case "common":
		if _, whole := integer(a.positional[0]); whole && digits >= 0 {
			return a.positional[0]
		}
		if digits < 0 {
			f = math.RoundToEven(f*scale) / scale
			if _, whole := integer(a.positional[0]); whole {
				return int(f)
			}
			return f
		}
		rounded, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64) // of the exact value, ties to even
		return rounded
	}
	failf("round knows the methods common, ceil and floor, not %s", describe(a.get(2, "method", nil)))
	return nil
}

func reversed(r *render, a arguments) any {
	if s, ok := a.positional[0].(string); ok {
		return r.slice(s, [3]any{nil, nil, -1})
	}
	list := append(r.list(0), r.iterate(a.positional[0])...)
	r.charge(len(list) * entryBytes)
	slices.Reverse(list)
	return list
}

// folded gives strings in lower case, unless case is to count.
func folded(value any, caseSensitive bool) any {
	if s, ok := value.(string); ok && !caseSensitive {
		return strings.ToLower(s)
	}
	return value
}

// sortBy sorts stably by keys, which must all be comparable.
func (r *render) sortBy(list []any, key func(any) any, reverse bool) []any {
	type keyed struct{ key, value any }
	r.charge(2 * len(list) * entryBytes)
	all := make([]keyed, len(list))
	for i, e := range list {
		all[i] = keyed{key(e), e}
	}
	slices.SortStableFunc(all, func(x, y keyed) int {
		before, after := -1, 1
		if reverse {
			before, after = 1, -1
		}
		switch {
		case r.compare("<", x.key, y.key):
			return before
		case r.compare("<", y.key, x.key):
			return after
		}
		return 0
	})
	sorted := make([]any, len(all))
	for i, k := range all {
		sorted[i] = k.value
	}
	return sorted
}

func sorted(r *render, a arguments) any {
	sensitive := truth(a.get(2, "case_sensitive", false))
	name := a.get(3, "attribute", nil)
	return r.sortBy(r.iterate(a.positional[0]), func(e any) any {
		if name != nil {
			e = path(r, e, name)
		}
		return folded(e, sensitive)
	}, truth(a.get(1, "reverse", false)))
}

func dictSort(r *render, a arguments) any {
	sensitive, at := truth(a.get(1, "case_sensitive", false)), 0
	if a.get(2, "by", "key") == "value" {
		at = 1
	}
	pairs := dictItems(r, mustDict(a.positional[0]), arguments{}).([]any)
	return r.sortBy(pairs, func(e any) any { return folded(e.(tuple)[at], sensitive) }, truth(a.get(3, "reverse", false)))
}

func unique(r *render, a arguments) any {
	sensitive := truth(a.get(1, "case_sensitive", false))
	name := a.get(2, "attribute", nil)
	seen, kept := map[any]bool{}, r.list(0)
	for _, e := range r.iterate(a.positional[0]) {
		r.step()
		by := e
		if name != nil {
			by = path(r, e, name)
		}
		if key := mustKey(folded(by, sensitive)); !seen[key] {
			seen[key] = true
			kept = r.append(kept, e)
		}
	}
	return kept
}

func sum(r *render, a arguments) any {
	total, name := a.get(2, "start", 0), a.get(1, "attribute", nil)
	for _, e := range r.iterate(a.positional[0]) {
		if name != nil {
			e = path(r, e, name)
		}
		total = r.arithmetic("+", total, e)
	}
	return total
}

// extreme gives the first element that is before all others by the comparison.
func extreme(r *render, a arguments, op string) any {
	sensitive, name := truth(a.get(1, "case_sensitive", false)), a.get(2, "attribute", nil)
	key := func(e any) any {
		if name != nil {
			e = path(r, e, name)
		}
		return folded(e, sensitive)
	}
	best := any(undefined{"an element of an empty list"})
	for i, e := range r.iterate(a.positional[0]) {
		if i == 0 || r.compare(op, key(e), key(best)) {
			best = e
		}
	}
	return best
}

// batch gives lists of so many elements, the last filled up if something is given for that.
func batch(r *render, a arguments) any {
	size := mustInteger(a.get(1, "linecount", undefined{"linecount"}))
	if size < 1 {
		failf("batch needs a number of at least 1")
	}
	fill, made := a.get(2, "fill_with", nil), r.list(0)
	for part := range slices.Chunk(r.iterate(a.positional[0]), size) {
		one := append(r.list(len(part)), part...)
		for fill != nil && len(one) < size {
			one = r.append(one, fill)
		}
		made = r.append(made, one)
	}
	return made
}

// slices_ gives so many lists of about the same length.
func slices_(r *render, a arguments) any {
	list, n := r.iterate(a.positional[0]), mustInteger(a.get(1, "slices", undefined{"slices"}))
	if n < 1 {
		failf("slice needs a number of at least 1")
	}
	fill, made, start := a.get(2, "fill_with", nil), r.list(0), 0
	for i := range n {
		r.step()
		size := len(list) / n
		if i < len(list)%n {
			size++
		}
		one := append(r.list(size), list[start:start+size]...)
		if start += size; fill != nil && i >= len(list)%n {
			one = r.append(one, fill)
		}
		made = r.append(made, one)
	}
	return made
}

// indent puts blanks in front of the lines but the first, and of those but empty ones, unless asked to.
func indent(r *render, a arguments) any {
	by := a.get(1, "width", 4)
	prefix, ok := by.(string)
	if !ok {
		prefix = r.repeat(" ", mustInteger(by))
	}
	first, blank := truth(a.get(2, "first", false)), truth(a.get(3, "blank", false))
	text := r.str(a.positional[0])
	r.charge(len(text) + len(prefix)*(1+strings.Count(text, "\n")))
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if (i > 0 || first) && (line != "" || blank) {
			b.WriteString(prefix)
		}
		b.WriteString(line)
	}
	return b.String()
}

// titleWords begins words with a capital letter, as Jinja's filter cuts them.
func titleWords(s string) string {
	var b strings.Builder
	start := true
	for _, c := range s {
		switch letter := string(c); {
		case strings.ContainsRune("-({[<", c) || isBlank(c):
			b.WriteString(letter)
			start = true
		case start:
			b.WriteString(strings.ToUpper(letter))
			start = false
		default:
			b.WriteString(strings.ToLower(letter))
		}
	}
	return b.String()
}

type side int

const (
	left side = iota
	right
	centre
)

// pad fills a text up to a width, on a side of it.
func (r *render) pad(s string, width int, with string, where side) string {
	n := width - len(runeOffsets(r, s)) + 1
	if n <= 0 {
		return s
	}
	before := 0
	switch where {
	case left:
		before = n
	case centre:
		before = n/2 + (n & width & 1)
	}
	return r.repeat(with, before) + s + r.repeat(with, n-before)
}
