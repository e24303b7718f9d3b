package jinja

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// stringMethods are what a template may call of a string.
var stringMethods map[string]method[string]

func init() { // one of them formats values, whose attributes may be methods
	stringMethods = map[string]method[string]{
		"strip": func(r *render, s string, a arguments) any {
			return strip(r, a.after(s), strings.Trim, strings.TrimFunc)
		},
		"lstrip": func(r *render, s string, a arguments) any {
			return strip(r, a.after(s), strings.TrimLeft, strings.TrimLeftFunc)
		},
		"rstrip": func(r *render, s string, a arguments) any {
			return strip(r, a.after(s), strings.TrimRight, strings.TrimRightFunc)
		},
		"lower":      func(r *render, s string, a arguments) any { return r.made(strings.ToLower(s)) },
		"casefold":   func(r *render, s string, a arguments) any { return r.made(strings.ToLower(s)) },
		"upper":      func(r *render, s string, a arguments) any { return r.made(strings.ToUpper(s)) },
		"swapcase":   func(r *render, s string, a arguments) any { return r.made(strings.Map(swapCase, s)) },
		"capitalize": func(r *render, s string, a arguments) any { return r.made(capitalize(s)) },
		"title":      func(r *render, s string, a arguments) any { return r.made(title(s)) },

		"startswith":   func(r *render, s string, a arguments) any { return hasOne(s, a, "prefix", strings.HasPrefix) },
		"endswith":     func(r *render, s string, a arguments) any { return hasOne(s, a, "suffix", strings.HasSuffix) },
		"removeprefix": func(r *render, s string, a arguments) any { return strings.TrimPrefix(s, a.str(0, "prefix")) },
		"removesuffix": func(r *render, s string, a arguments) any { return strings.TrimSuffix(s, a.str(0, "suffix")) },

		"find":  func(r *render, s string, a arguments) any { return find(r, s, a, strings.Index) },
		"rfind": func(r *render, s string, a arguments) any { return find(r, s, a, strings.LastIndex) },
		"index": func(r *render, s string, a arguments) any {
			at := find(r, s, a, strings.Index)
			if at == -1 {
				failf("%s is not in %s", describe(a.positional[0]), describe(s))
			}
			return at
		},
		"count": func(r *render, s string, a arguments) any { return strings.Count(s, a.str(0, "sub")) },

		"replace": func(r *render, s string, a arguments) any {
			return r.replace(s, a.str(0, "old"), a.str(1, "new"), count(a, 2))
		},
		"join": func(r *render, s string, a arguments) any {
			return r.join(s, a.get(0, "iterable", undefined{"iterable"}))
		},
		"split":      split,
		"rsplit":     splitRight,
		"splitlines": splitLines,
		"partition": func(r *render, s string, a arguments) any {
			before, after, found := strings.Cut(s, separator(a))
			if !found {
				return tuple{s, "", ""}
			}
			return tuple{before, separator(a), after}
		},
		"rpartition": func(r *render, s string, a arguments) any {
			at := strings.LastIndex(s, separator(a))
			if at < 0 {
				return tuple{"", "", s}
			}
			return tuple{s[:at], separator(a), s[at+len(separator(a)):]}
		},
		"format": format,

		"ljust":  func(r *render, s string, a arguments) any { return r.justify(s, a, right) },
		"rjust":  func(r *render, s string, a arguments) any { return r.justify(s, a, left) },
		"center": func(r *render, s string, a arguments) any { return r.justify(s, a, centre) },
		"zfill": func(r *render, s string, a arguments) any {
			sign := ""
			if s != "" && (s[0] == '-' || s[0] == '+') {
				sign, s = s[:1], s[1:]
			}
			return sign + r.pad(s, mustInteger(a.get(0, "width", undefined{"width"}))-len(sign), "0", left)
		},

		"isdigit":   func(r *render, s string, a arguments) any { return all(s, unicode.IsDigit) },
		"isdecimal": func(r *render, s string, a arguments) any { return all(s, unicode.IsDigit) },
		"isnumeric": func(r *render, s string, a arguments) any { return all(s, unicode.IsNumber) },
		"isalpha":   func(r *render, s string, a arguments) any { return all(s, unicode.IsLetter) },
		"isalnum": func(r *render, s string, a arguments) any {
			return all(s, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) })
		},
		"isspace": func(r *render, s string, a arguments) any { return all(s, isBlank) },
		"isupper": func(r *render, s string, a arguments) any { return isCase(s, unicode.IsUpper, unicode.IsLower) },
		"islower": func(r *render, s string, a arguments) any { return isCase(s, unicode.IsLower, unicode.IsUpper) },
	}
}

// all tells whether a text that is not empty has only characters for which is holds.
func all(s string, is func(rune) bool) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return !is(c) }) < 0
}

// isCase tells whether a text has letters of one case and none of the other.
func isCase(s string, is, other func(rune) bool) bool {
	return strings.IndexFunc(s, is) >= 0 && strings.IndexFunc(s, other) < 0
}

func swapCase(c rune) rune {
	if unicode.IsUpper(c) {
		return unicode.ToLower(c)
	}
	return unicode.ToUpper(c)
}

// title begins each run of letters with a capital one, as Python's str.title.
func title(s string) string {
	inside := false
	return strings.Map(func(c rune) rune {
		first := !inside
		if inside = unicode.IsLetter(c); inside && first {
			return unicode.ToTitle(c)
		}
		return unicode.ToLower(c)
	}, s)
}

// hasOne tells whether one of the first argument's strings is at an end of s.
func hasOne(s string, a arguments, name string, has func(s, part string) bool) bool {
	if several, ok := a.get(0, name, nil).(tuple); ok {
		for _, part := range several {
			if text, ok := part.(string); ok && has(s, text) {
				return true
			}
		}
		return false
	}
	return has(s, a.str(0, name))
}

// find gives the place of a text in s, in characters, between places if they are given; -1 where it is not.
func find(r *render, s string, a arguments, index func(s, part string) int) any {
	start := 0
	if from := a.get(1, "start", nil); from != nil || a.get(2, "end", nil) != nil {
		cut := r.slice(s, [3]any{from, a.get(2, "end", nil), nil}).(string)
		if from != nil {
			if start = mustInteger(from); start < 0 {
				start = max(0, start+len(runeOffsets(r, s))-1)
			}
		}
		s = cut
	}
	at := index(s, a.str(0, "sub"))
	if at < 0 {
		return -1
	}
	return start + utf8.RuneCountInString(s[:at])
}

func (r *render) justify(s string, a arguments, where side) string {
	return r.pad(s, mustInteger(a.get(0, "width", undefined{"width"})), r.str(a.get(1, "fillchar", " ")), where)
}

// separator is an argument that must be a text that is not empty.
func separator(a arguments) string {
	by := a.str(0, "sep")
	if by == "" {
		failf("a separator is empty")
	}
	return by
}

// made counts a string that a function of the standard library has made.
func (r *render) made(s string) string {
	r.charge(len(s))
	return s
}

// strip takes blanks off the first argument, or the characters in the second.
func strip(r *render, a arguments, of func(s, cutset string) string, blanks func(string, func(rune) bool) string) any {
	s := r.str(a.positional[0])
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

// replace puts another text in the place of one, at most so many times; -1: each time.
func (r *render) replace(s, old, with string, times int) string {
	n := strings.Count(s, old)
	if times >= 0 {
		n = min(n, times)
	}
	if grown := len(with) - len(old); grown > 0 && n > r.bytes/grown {
		r.charge(r.bytes + 1)
	}
	r.charge(len(s) + n*(len(with)-len(old)))
	return strings.Replace(s, old, with, n)
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

// splitRight is split from the right.
func splitRight(r *render, s string, a arguments) any {
	most := mustInteger(a.get(1, "maxsplit", -1))
	var parts []any
	if by := a.get(0, "sep", nil); by == nil {
		for s = strings.TrimRightFunc(s, isBlank); s != ""; s = strings.TrimRightFunc(s, isBlank) {
			at := strings.LastIndexFunc(s, isBlank)
			if most >= 0 && len(parts) == most {
				parts = r.append(parts, s)
				break
			}
			_, n := utf8.DecodeRuneInString(s[max(at, 0):])
			if at < 0 {
				n = 0
			}
			parts = r.append(parts, s[max(at, 0)+n:])
			s = s[:max(at, 0)]
		}
	} else {
		by := separator(a)
		for most < 0 || len(parts) < most {
			at := strings.LastIndex(s, by)
			if at < 0 {
				break
			}
			parts = r.append(parts, s[at+len(by):])
			s = s[:at]
		}
		parts = r.append(parts, s)
	}
	slices.Reverse(parts)
	return append([]any{}, parts...)
}

// splitLines cuts at each kind of line break that Python knows, and keeps them if asked to.
func splitLines(r *render, s string, a arguments) any {
	keep := truth(a.get(0, "keepends", false))
	list := r.list(0)
	for s != "" {
		at := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		end, n := len(s), 0
		if at >= 0 {
			end = at
			_, n = utf8.DecodeRuneInString(s[at:])
			if strings.HasPrefix(s[at:], "\r\n") {
				n = 2
			}
		}
		line := s[:end]
		if keep {
			line = s[:end+n]
		}
		list = r.append(list, line)
		s = s[end+n:]
	}
	return list
}
