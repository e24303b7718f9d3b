package jinja

import (
	"math"
	"strings"
)

// render is one run of a template.
type render struct {
	scope  *scope
	out    *strings.Builder
	steps  int      // that may still be taken
	bytes  int      // that may still be made
	depth  int      // of the values being looked through and of the calls being made
	jump   jump     // how the loop's body around ends, while it does
	block  string   // what the set or filter block has written, while its filters run
	caller function // the body of a call block, until its call takes it
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
		failf("the template nests values or calls more than %d deep", maxDepth)
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
		if r.jump != noJump {
			return
		}
	}
}

func (r *render) write(text string) {
	r.charge(len(text))
	r.out.WriteString(text)
}

// capture gives what is written while write runs.
func (r *render) capture(write func()) string {
	outer := r.out
	defer func() { r.out = outer }()
	r.out = &strings.Builder{}
	write()
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
		if op == "%" {
			return r.printf(x, b)
		}
	case []any:
		if y, ok := b.([]any); ok && op == "+" {
			return append(append(r.list(len(x)+len(y)), x...), y...)
		}
		if n, ok := integer(b); ok && op == "*" {
			return r.repeatList(x, n)
		}
	case tuple:
		if y, ok := b.(tuple); ok && op == "+" {
			return tuple(append(append(r.list(len(x)+len(y)), x...), y...))
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
	var whole int
	exact := true
	switch op {
	case "+":
		whole = x + y
		exact = (whole > x) == (y > 0)
	case "-":
		whole = x - y
		exact = (whole < x) == (y > 0)
	case "*":
		whole = x * y
		exact = x == 0 || whole/x == y && !(x == -1 && y == math.MinInt)
	case "**":
		if y < 0 {
			return math.Pow(float64(x), float64(y))
		}
		return intPower(x, y)
	default:
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
	if !exact {
		failf("%d %s %d is too large a number", x, op, y)
	}
	return whole
}

func intPower(x, y int) any {
	result := 1
	for range min(y, 64) {
		result = intArithmetic("*", result, x).(int)
	}
	if y > 64 && x != 0 && x != 1 && x != -1 {
		failf("%d ** %d is too large a number", x, y)
	}
	if y > 64 && x == -1 && y%2 == 1 {
		return -1
	}
	return result
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
	case "**":
		return math.Pow(x, y)
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

func (r *render) repeatList(list []any, n int) any {
	n = max(n, 0)
	if len(list) > 0 && n > r.bytes/len(list) {
		r.charge(math.MaxInt)
	}
	made := r.list(n * len(list))
	for range n {
		made = append(made, list...)
	}
	return made
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
		order = r.compareLists(a, b)
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

// compareLists compares element by element.
func (r *render) compareLists(a, b any) int {
	defer r.nest()()
	x, okX := sequence(a)
	y, okY := sequence(b)
	if !okX || !okY {
		failf("%s and %s cannot be compared", describe(a), describe(b))
	}
	for i := range min(len(x), len(y)) {
		if r.equal(x[i], y[i]) {
			continue
		}
		if r.compare("<", x[i], y[i]) {
			return -1
		}
		return 1
	}
	return len(x) - len(y)
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
		key, ok := keyOf(value)
		return ok && c.has(key)
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
	case tuple:
		return v
	case undefined:
		return nil
	case *Dict:
		return append(r.list(len(v.keys)), v.keys...)
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
	cut := func(v []any) []any {
		start, step, count := part(len(v))
		list := r.list(count)
		for i := range count {
			list = append(list, v[start+i*step])
		}
		return list
	}
	switch v := value.(type) {
	case []any:
		return cut(v)
	case tuple:
		return tuple(cut(v))
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
