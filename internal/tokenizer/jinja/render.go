package jinja

import (
	"math"
	"strings"
)

// render is one run of a template.
type render struct {
	scope *scope
	out   *strings.Builder
	steps int // that may still be taken
	bytes int // that may still be made
	depth int // of the values being looked through
}

// scope holds the names set in a block; those of the blocks around it are visible too.
type scope struct {
	names map[string]any
	outer *scope
}

// entryBytes is what an element of a list or mapping is counted as.
const entryBytes = 32

// scanBytes is how much of a string may be read in a step.
const scanBytes = 256

func (r *render) step() {
	if r.steps--; r.steps < 0 {
		failf("the template takes too many steps")
	}
}

// scan counts the reading of a value: a long string is many steps.
func (r *render) scan(value any) {
	if s, ok := value.(string); ok {
		r.steps -= len(s) / scanBytes
	}
	r.step()
}

// nest counts the depth of values within values; the caller defers what it returns.
func (r *render) nest() (leave func()) {
	if r.depth++; r.depth > maxDepth {
		failf("the template makes a value nested more than %d deep", maxDepth)
	}
	return func() { r.depth-- }
}

// charge counts n bytes before they are made.
func (r *render) charge(n int) {
	if n < 0 || n > r.bytes {
		failf("the template makes too much text or too long lists")
	}
	r.bytes -= n
}

func (r *render) run(body []statement) {
	for _, s := range body {
		r.step()
		s(r)
	}
}

func (r *render) write(text string) {
	r.charge(len(text))
	r.out.WriteString(text)
}

// capture runs body and gives what it writes.
func (r *render) capture(body []statement) string {
	outer := r.out
	defer func() { r.out = outer }()
	r.out = &strings.Builder{}
	r.run(body)
	return r.out.String()
}

// push opens a scope and gives what closes it.
func (r *render) push() (pop func()) {
	outer := r.scope
	r.scope = &scope{map[string]any{}, outer}
	return func() { r.scope = outer }
}

func (r *render) set(name string, value any) { r.scope.names[name] = value }

func (r *render) lookup(name string) any {
	for s := r.scope; s != nil; s = s.outer {
		if v, ok := s.names[name]; ok {
			return v
		}
	}
	return undefined{name}
}

// bind sets the names of a loop: one to the item, several to its elements.
func (r *render) bind(names []string, item any) {
	if len(names) == 1 {
		r.set(names[0], item)
		return
	}
	elements, ok := item.([]any)
	if !ok || len(elements) != len(names) {
		failf("%s cannot be taken apart into %d names", describe(item), len(names))
	}
	for i, name := range names {
		r.set(name, elements[i])
	}
}

// list makes a list with room for n elements, which are counted.
func (r *render) list(n int) []any {
	r.charge(n * entryBytes)
	return make([]any, 0, n)
}

func (r *render) append(list []any, value any) []any {
	r.charge(entryBytes)
	return append(list, value)
}

func (r *render) arithmetic(op string, a, b any) any {
	r.step()
	if op == "~" {
		return r.concat(r.str(a), r.str(b))
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok && op == "+" {
			return r.concat(x, y)
		}
		if n, ok := integer(b); ok && op == "*" {
			return r.repeat(x, n)
		}
	case []any:
		if y, ok := b.([]any); ok && op == "+" {
			return append(append(r.list(len(x)+len(y)), x...), y...)
		}
	}
	x, okX := integer(a)
	y, okY := integer(b)
	if okX && okY {
		return intArithmetic(op, x, y)
	}
	f, okF := float(a)
	g, okG := float(b)
	if !okF || !okG {
		failf("%s %s %s cannot be computed", describe(a), op, describe(b))
	}
	return floatArithmetic(op, f, g)
}

func intArithmetic(op string, x, y int) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	}
	if y == 0 {
		failf("division by zero")
	}
	switch op {
	case "//":
		return (x - mod(x, y)) / y
	case "%":
		return mod(x, y)
	}
	return float64(x) / float64(y)
}

// mod has the sign of y, as in Python.
func mod(x, y int) int {
	m := x % y
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	return m
}

func floatArithmetic(op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	}
	if y == 0 {
		failf("division by zero")
	}
	switch op {
	case "//":
		return math.Floor(x / y)
	case "%":
		return x - y*math.Floor(x/y)
	}
	return x / y
}

func (r *render) concat(a, b string) string {
	r.charge(len(a) + len(b))
	return a + b
}

func (r *render) repeat(s string, n int) string {
	n = max(n, 0)
	if len(s) > 0 && n > r.bytes/len(s) {
		r.charge(math.MaxInt)
	}
	r.charge(n * len(s))
	return strings.Repeat(s, n)
}

func (r *render) compare(op string, a, b any) bool {
	r.step()
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	var order int
	x, okX := float(a)
	y, okY := float(b)
	r.scan(a)
	s, okS := a.(string)
	t, okT := b.(string)
	switch {
	case okX && okY && x < y:
		order = -1
	case okX && okY && x > y:
		order = 1
	case okX && okY:
	case okS && okT:
		order = strings.Compare(s, t)
	default:
		failf("%s and %s cannot be compared", describe(a), describe(b))
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (r *render) contains(in, value any) bool {
	switch c := in.(type) {
	case string:
		r.scan(c)
		s, ok := value.(string)
		if !ok {
			failf("only a string can be in a string, not %s", describe(value))
		}
		return strings.Contains(c, s)
	case *Dict:
		s, ok := value.(string)
		return ok && c.has(s)
	}
	for _, e := range r.iterate(in) {
		r.step()
		if r.equal(e, value) {
			return true
		}
	}
	return false
}

// iterate gives the elements of a list, the keys of a mapping or the characters of a string.
func (r *render) iterate(value any) []any {
	switch v := value.(type) {
	case []any:
		return v
	case undefined:
		return nil
	case *Dict:
		keys := r.list(len(v.keys))
		for _, key := range v.keys {
			keys = append(keys, key)
		}
		return keys
	case string:
		offsets := runeOffsets(r, v)
		characters := r.list(len(offsets) - 1)
		for i := range len(offsets) - 1 {
			characters = append(characters, v[offsets[i]:offsets[i+1]])
		}
		return characters
	}
	failf("%s is no list", describe(value))
	return nil
}

// slice gives value[start:stop:step]; bounds that are nil are left out.
func (r *render) slice(value any, bounds [3]any) any {
	part := func(n int) (start, step, count int) {
		step = 1
		if bounds[2] != nil {
			step = mustInteger(bounds[2])
		}
		if step == 0 {
			failf("a slice's step is zero")
		}
		low, high := 0, n // bounds are clamped to these
		if step < 0 {
			low, high = -1, n-1
		}
		clamp := func(bound any, otherwise int) int {
			if bound == nil {
				return otherwise
			}
			i := mustInteger(bound)
			if i < 0 {
				i += n
			}
			return min(max(i, low), high)
		}
		if step > 0 {
			start = clamp(bounds[0], low)
			if stop := clamp(bounds[1], high); stop > start {
				count = (stop-start-1)/step + 1
			}
		} else {
			start = clamp(bounds[0], high)
			if stop := clamp(bounds[1], low); stop < start {
				count = (start-stop-1)/-step + 1
			}
		}
		return start, step, count
	}
	switch v := value.(type) {
	case []any:
		start, step, count := part(len(v))
		list := r.list(count)
		for i := range count {
			list = append(list, v[start+i*step])
		}
		return list
	case string:
		offsets := runeOffsets(r, v)
		start, step, count := part(len(offsets) - 1)
		var b strings.Builder
		r.charge(len(v))
		for i := range count {
			at := start + i*step
			b.WriteString(v[offsets[at]:offsets[at+1]])
		}
		return b.String()
	}
	failf("%s cannot be sliced", describe(value))
	return nil
}

// runeOffsets gives where the characters of s begin, and its length last. An invalid byte is a character.
func runeOffsets(r *render, s string) []int {
	r.scan(s)
	r.charge(8 * len(s))
	offsets := make([]int, 0, len(s)+1)
	for i := range s {
		offsets = append(offsets, i)
	}
	return append(offsets, len(s))
}
