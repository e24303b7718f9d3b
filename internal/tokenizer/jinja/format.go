package jinja

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

var verb = regexp.MustCompile(`^%(?:\(([^)]*)\))?([-+ 0#]*)(\d*|\*)(?:\.(\d+))?([a-zA-Z%])`)

// maxWidth bounds what a value may be filled up to.
const maxWidth = 1 << 12

// printf is Python's formatting by "%": of a tuple's elements in turn, of a mapping's by name, or of one value.
func (r *render) printf(format string, of any) string {
	values, several := of.(tuple)
	if !several {
		values = tuple{of}
	}
	next := 0
	var b strings.Builder
	for {
		n := strings.IndexByte(format, '%')
		if n < 0 {
			n = len(format)
		}
		r.charge(n)
		b.WriteString(format[:n])
		if format = format[n:]; format == "" {
			break
		}
		m := verb.FindStringSubmatch(format)
		if m == nil || m[3] == "*" {
			failf("%q is no format that is supported", clip(format))
		}
		format = format[len(m[0]):]
		if m[5] == "%" {
			b.WriteByte('%')
			continue
		}
		var value any
		switch {
		case m[1] != "":
			value = entry(mustDict(of), m[1])
		case next < len(values):
			value = values[next]
			next++
		default:
			failf("a format has more places than there are values")
		}
		text := r.formatted(value, m[2], m[3], m[4], m[5])
		r.charge(len(text))
		b.WriteString(text)
	}
	if _, named := of.(*Dict); next < len(values) && !named {
		failf("a format has fewer places than there are values")
	}
	return b.String()
}

func (r *render) formatted(value any, flags, width, precision, kind string) string {
	r.step()
	digits := -1
	if precision != "" {
		digits, _ = strconv.Atoi(precision)
	}
	size, _ := strconv.Atoi(width)
	if size > maxWidth || digits > maxWidth {
		failf("a format is wider than %d", maxWidth)
	}
	number := func() float64 {
		f, ok := float(value)
		if !ok {
			failf("%s is no number", describe(value))
		}
		return f
	}
	whole := func(base int) string {
		f := number()
		if math.Abs(f) >= 1<<63 {
			failf("%v is too large a number", f)
		}
		if n, ok := integer(value); ok {
			return strconv.FormatInt(int64(n), base)
		}
		return strconv.FormatInt(int64(f), base)
	}
	text, numeric := "", true
	switch kind {
	case "s", "r":
		numeric = false
		if text = r.str(value); kind == "r" {
			var b strings.Builder
			r.repr(&b, value)
			text = b.String()
		}
		if digits >= 0 {
			text = r.slice(text, [3]any{nil, digits, nil}).(string)
		}
	case "d", "i", "u":
		text = whole(10)
	case "x":
		text = whole(16)
	case "X":
		text = strings.ToUpper(whole(16))
	case "o":
		text = whole(8)
	case "f", "F", "e", "E":
		if digits < 0 {
			digits = 6
		}
		text = strconv.FormatFloat(number(), strings.ToLower(kind)[0], digits, 64)
		if kind == "E" {
			text = strings.ToUpper(text)
		}
	default:
		failf("the format %%%s is not supported", kind)
	}
	if numeric && !strings.HasPrefix(text, "-") {
		switch {
		case strings.Contains(flags, "+"):
			text = "+" + text
		case strings.Contains(flags, " "):
			text = " " + text
		}
	}
	switch {
	case strings.Contains(flags, "-"):
		return r.pad(text, size, " ", right)
	case numeric && strings.Contains(flags, "0"):
		sign := ""
		if strings.ContainsAny(text[:1], "+- ") {
			sign, text = text[:1], text[1:]
		}
		return sign + r.pad(text, size-len(sign), "0", left)
	}
	return r.pad(text, size, " ", left)
}

var (
	field = regexp.MustCompile(`^([^{}.\[!:]*)((?:\.\w+|\[[^\]]*\])*)(?:!([rs]))?(?::([^{}]*))?$`)
	step  = regexp.MustCompile(`\.\w+|\[[^\]]*\]`) // from a value to one within it
	spec  = regexp.MustCompile(`^(?:(.?)([<>^]))?([-+ ]?)(0?)(\d*)(,?)(?:\.(\d+))?([a-zA-Z]?)$`)
)

// format is Python's str.format: {} takes the arguments in turn, {0} and {name} one of them.
func format(r *render, text string, a arguments) any {
	var b strings.Builder
	next := 0
	for text != "" {
		n := strings.IndexAny(text, "{}")
		if n < 0 {
			n = len(text)
		}
		r.charge(n)
		b.WriteString(text[:n])
		if text = text[n:]; text == "" {
			break
		}
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			b.WriteByte(text[0])
			text = text[2:]
			continue
		}
		end := strings.IndexByte(text, '}')
		var m []string
		if text[0] == '{' && end > 0 {
			m = field.FindStringSubmatch(text[1:end])
		}
		if m == nil {
			failf("%q is no format that is supported", clip(text))
		}
		text = text[end+1:]
		var value any
		if i, err := strconv.Atoi(m[1]); m[1] == "" || err == nil {
			if m[1] == "" {
				i = next
				next++
			}
			if i < 0 || i >= len(a.positional) {
				failf("a format asks for argument %d, which is not there", i)
			}
			value = a.positional[i]
		} else if value = a.get(-1, m[1], undefined{m[1]}); value == any(undefined{m[1]}) {
			failf("a format asks for %s, which is not there", m[1])
		}
		for _, part := range step.FindAllString(m[2], -1) {
			value = path(r, value, strings.Trim(part, ".[]"))
		}
		if m[3] == "r" {
			var repr strings.Builder
			r.repr(&repr, value)
			value = repr.String()
		}
		shown := r.spec(value, m[4])
		r.charge(len(shown))
		b.WriteString(shown)
	}
	return b.String()
}

// spec formats a value as what stands behind a field's colon says.
func (r *render) spec(value any, text string) string {
	if text == "" {
		return r.str(value)
	}
	m := spec.FindStringSubmatch(text)
	if m == nil || m[6] != "" {
		failf("the format %q is not supported", clip(text))
	}
	_, isText := value.(string)
	kind := m[8]
	if kind == "" {
		kind = "s"
		if _, ok := value.(int); ok {
			kind = "d"
		}
	}
	shown := r.formatted(value, m[3], "", m[7], kind)
	width, _ := strconv.Atoi(m[5])
	if width > maxWidth {
		failf("a format is wider than %d", maxWidth)
	}
	with := m[1]
	if with == "" {
		with = " "
		if m[4] != "" {
			with = "0"
		}
	}
	where := map[string]side{"<": right, ">": left, "^": centre}[m[2]]
	if m[2] == "" && isText {
		where = right
	}
	return r.pad(shown, width, with, where)
}
