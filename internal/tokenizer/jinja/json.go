package jinja

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// jsonStyle is how a value is written as JSON, as by Python's json.dumps.
type jsonStyle struct {
	ascii       bool   // other characters as escapes
	sorted      bool   // mappings by their keys
	indent      string // of each level; ignored unless lines is set
	lines       bool   // each element on a line of its own
	item, entry string // what stands between elements, and between key and value
}

// toJSON is the filter that transformers puts in the place of Jinja's, which escapes HTML.
func toJSON(r *render, a arguments) any {
	style := jsonStyle{item: ", ", entry: ": "}
	style.ascii = truth(a.get(1, "ensure_ascii", false))
	if indent := a.get(2, "indent", nil); indent != nil {
		style.lines, style.item = true, ","
		if text, ok := indent.(string); ok {
			style.indent = text
		} else {
			style.indent = r.repeat(" ", mustInteger(indent))
		}
	}
	if separators, ok := sequence(a.get(3, "separators", nil)); ok && len(separators) == 2 {
		style.item, style.entry = r.str(separators[0]), r.str(separators[1])
	}
	style.sorted = truth(a.get(4, "sort_keys", false))
	var b strings.Builder
	r.json(&b, a.positional[0], style, 0)
	return b.String()
}

func (r *render) json(b *strings.Builder, value any, style jsonStyle, level int) {
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
		r.jsonString(b, v, style.ascii)
	case []any:
		r.jsonElements(b, "[]", len(v), style, level, func(i int) { r.json(b, v[i], style, level+1) })
	case tuple:
		r.json(b, []any(v), style, level)
	case *Dict:
		keys := v.keys
		if style.sorted {
			keys = r.sortBy(keys, func(k any) any { return k }, false)
		}
		r.jsonElements(b, "{}", len(keys), style, level, func(i int) {
			key, ok := keys[i].(string)
			if !ok {
				var text strings.Builder
				r.json(&text, keys[i], style, level+1)
				key = text.String()
			}
			r.jsonString(b, key, style.ascii)
			b.WriteString(style.entry)
			r.json(b, v.values[keys[i]], style, level+1)
		})
	default:
		failf("%s has no JSON form", describe(value))
	}
}

func (r *render) jsonElements(b *strings.Builder, brackets string, n int, style jsonStyle, level int, write func(i int)) {
	b.WriteByte(brackets[0])
	line := func(level int) {
		if style.lines {
			r.charge(1 + level*len(style.indent))
			b.WriteString("\n" + strings.Repeat(style.indent, level))
		}
	}
	for i := range n {
		if i > 0 {
			b.WriteString(style.item)
		}
		line(level + 1)
		write(i)
	}
	if n > 0 {
		line(level)
	}
	b.WriteByte(brackets[1])
}

func (r *render) jsonString(b *strings.Builder, text string, ascii bool) {
	r.charge(6 * len(text))
	b.WriteByte('"')
	for _, part := range []byte(asASCII(text, ascii)) {
		switch c := part; {
		case c == '"' || c == '\\' && !ascii:
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
}

// asASCII writes characters that are not ASCII, and backslashes, as escapes, if asked to.
func asASCII(text string, ascii bool) string {
	if !ascii {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		switch {
		case c == '\\':
			b.WriteString(`\\`)
		case c < 0x7f || c == 0x7f:
			b.WriteRune(c)
		default:
			for _, unit := range utf16.Encode([]rune{c}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.String()
}
