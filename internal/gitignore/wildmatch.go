package gitignore

import "strings"

// wildmatch reports whether a pattern matches a whole path, byte by byte as git
// does: '*', '?' and brackets never match '/', "**" between slashes matches any
// number of folders.
//
// Where the pattern fails, its last '*' takes one byte more, and where that is
// used up its last "**" one folder more. An earlier one need not be tried again:
// what it could take, the later can.
func wildmatch(pattern, path string) bool {
	p, at := 0, 0
	star, starAt := -1, 0 // where to go on behind the last '*', and how far that reaches
	deep, deepAt := -1, 0 // the same of the last "**" and the slash behind it
	for {
		if p == len(pattern) && at == len(path) {
			return true
		}
		if p < len(pattern) && pattern[p] == '*' {
			end := p + 1
			for end < len(pattern) && pattern[end] == '*' {
				end++
			}
			slash := folders(pattern, p, end)
			switch {
			case slash < 0:
				star, starAt = end, at
				p = end
				continue
			case end == len(pattern):
				return true
			}
			deep, deepAt, star = end+slash, at, -1
			if slash == 1 { // no folder: "a/**/b" matches "a/b"
				p = deep
				continue
			}
		} else if p < len(pattern) && at < len(path) {
			if n := one(pattern[p:], path[at]); n > 0 {
				p, at = p+n, at+1
				continue
			}
		}
		if star >= 0 && starAt < len(path) && path[starAt] != '/' {
			starAt++
			p, at = star, starAt
			continue
		}
		slash := strings.IndexByte(path[deepAt:], '/')
		if deep < 0 || slash < 0 {
			return false
		}
		deepAt += slash + 1
		p, at, star = deep, deepAt, -1
	}
}

// folders returns the length of the slash behind the stars pattern[from:end] if
// they stand for folders, and -1 if they are as one star.
func folders(pattern string, from, end int) int {
	if end-from < 2 || from > 0 && pattern[from-1] != '/' {
		return -1
	}
	switch rest := pattern[end:]; {
	case rest == "":
		return 0
	case rest[0] == '/':
		return 1
	case strings.HasPrefix(rest, `\/`):
		return 2
	}
	return -1
}

// one returns the length of what p begins with if that matches the byte, else 0.
func one(p string, c byte) int {
	switch {
	case p[0] == '?' && c != '/':
		return 1
	case p[0] == '[' && c != '/':
		if in, length := bracket(p, c); in {
			return length
		}
	case p[0] == '\\' && len(p) > 1 && p[1] == c:
		return 2
	case p[0] == c && c != '?' && c != '[' && c != '\\':
		return 1
	}
	return 0
}

// classes are the named ones of a bracket: [[:alpha:]].
var classes = map[string]func(c byte) bool{
	"alnum":  func(c byte) bool { return letter(c) || digit(c) },
	"alpha":  letter,
	"blank":  func(c byte) bool { return c == ' ' || c == '\t' },
	"cntrl":  func(c byte) bool { return c < 0x20 || c == 0x7f },
	"digit":  digit,
	"graph":  func(c byte) bool { return c > ' ' && c < 0x7f },
	"lower":  func(c byte) bool { return 'a' <= c && c <= 'z' },
	"print":  func(c byte) bool { return c >= ' ' && c < 0x7f },
	"punct":  func(c byte) bool { return c > ' ' && c < 0x7f && !letter(c) && !digit(c) },
	"space":  func(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' },
	"upper":  func(c byte) bool { return 'A' <= c && c <= 'Z' },
	"xdigit": func(c byte) bool { return digit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' },
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// bracket reports whether the bracket that p begins with holds c, and its length;
// 0 if it is none.
func bracket(p string, c byte) (in bool, length int) {
	i := 1
	not := i < len(p) && (p[i] == '!' || p[i] == '^')
	if not {
		i++
	}
	previous, ranged := byte(0), false // a range needs a byte before its '-'
	for first := true; ; first = false {
		if i >= len(p) {
			return false, 0
		}
		switch {
		case p[i] == ']' && !first:
			return in != not, i + 1
		case p[i] == '-' && ranged && i+1 < len(p) && p[i+1] != ']':
			i++
			if p[i] == '\\' {
				if i++; i >= len(p) {
					return false, 0
				}
			}
			in = in || previous <= c && c <= p[i]
			ranged = false
			i++
		case strings.HasPrefix(p[i:], "[:"):
			name, _, closed := strings.Cut(p[i+2:], "]")
			if !closed {
				return false, 0
			}
			inner, named := strings.CutSuffix(name, ":")
			if !named { // an ordinary '['
				in = in || c == '['
				previous, ranged = '[', true
				i++
				continue
			}
			class, ok := classes[inner]
			if !ok {
				return false, 0
			}
			in = in || class(c)
			ranged = false
			i += len("[:") + len(name) + len("]")
		default:
			if p[i] == '\\' {
				if i++; i >= len(p) {
					return false, 0
				}
			}
			in = in || c == p[i]
			previous, ranged = p[i], true
			i++
		}
	}
}
