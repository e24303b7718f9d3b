package jinja

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd       tokenKind = iota // of the template
	tokenData                       // text outside of tags
	tokenOutput                     // {{
	tokenOutputEnd                  // }}
	tokenBlock                      // {%
	tokenBlockEnd                   // %}
	tokenName
	tokenString // text is its value
	tokenInteger
	tokenFloat
	tokenOperator
)

type token struct {
	kind tokenKind
	text string
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "end of the template"
	case tokenBlockEnd, tokenOutputEnd:
		return "end of the tag"
	}
	return fmt.Sprintf("%q", t.text)
}

// is tells whether the token is a keyword or an operator.
func (t token) is(text string) bool {
	return (t.kind == tokenName || t.kind == tokenOperator) && t.text == text
}

type lexer struct {
	source string // what is left
	whole  string
	tokens []token
}

// lex cuts a template into tokens and applies the rules about blanks: a "-" in a tag's delimiter takes all blanks on its
// side; a block or comment alone on its line takes the line's indent and its newline (lstrip_blocks, trim_blocks) unless
// its delimiter has a "+"; one newline at the template's end is dropped.
func lex(source string) []token {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	source = strings.TrimSuffix(source, "\n")
	l := &lexer{source: source, whole: source}
	lineStart := true // whether the text to come begins at the beginning of a line
	for {
		open := nextTag(l.source)
		if open < 0 {
			l.add(tokenData, l.source)
			l.source = ""
			l.add(tokenEnd, "")
			return l.tokens
		}
		text, tag := l.source[:open], l.source[open:open+2]
		sign := byte(0)
		if open+2 < len(l.source) {
			sign = l.source[open+2]
		}
		switch {
		case sign == '-':
			text = before(text, "-", lineStart)
		case sign != '+' && tag != "{{":
			text = before(text, "", lineStart)
		}
		l.add(tokenData, text)
		l.source = l.source[open+2:]
		if sign == '-' || sign == '+' {
			l.source = l.source[1:]
		}
		if tag == "{%" && l.raw(&lineStart) {
			continue
		}
		var end byte // the sign in the closing delimiter
		switch tag {
		case "{{":
			l.add(tokenOutput, tag)
			end = l.expression("}}")
			l.add(tokenOutputEnd, tag)
		case "{%":
			l.add(tokenBlock, tag)
			end = l.expression("%}")
			l.add(tokenBlockEnd, tag)
		case "{#":
			n := strings.Index(l.source, "#}")
			if n < 0 {
				l.failf("a comment has no end")
			}
			if n > 0 {
				end = l.source[n-1]
			}
			l.source = l.source[n+2:]
		}
		lineStart = false
		switch {
		case end == '-':
			trimmed := strings.TrimLeftFunc(l.source, unicode.IsSpace)
			taken := l.source[:len(l.source)-len(trimmed)]
			lineStart = strings.HasSuffix(taken, "\n")
			l.source = trimmed
		case end != '+' && tag != "{{" && strings.HasPrefix(l.source, "\n"):
			l.source = l.source[1:]
			lineStart = true
		}
	}
}

var (
	rawBegin = regexp.MustCompile(`^\s*raw\s*(-%}\s*|%})`)
	rawEnd   = regexp.MustCompile(`{%([-+]?)\s*endraw\s*(?:\+%}|-%}\s*|%}\n?)`)
)

// raw reads a raw block, whose text is no template, from behind its "{%", if there is one.
func (l *lexer) raw(lineStart *bool) bool {
	begin := rawBegin.FindString(l.source)
	if begin == "" {
		return false
	}
	text := l.source[len(begin):]
	end := rawEnd.FindStringSubmatchIndex(text)
	if end == nil {
		l.failf("a raw block has no end")
	}
	shown, sign := text[:end[0]], text[end[2]:end[3]]
	*lineStart = strings.HasSuffix(begin, "\n")
	l.source = text[end[1]:]
	l.add(tokenData, before(shown, sign, *lineStart))
	*lineStart = strings.HasSuffix(text[end[0]:end[1]], "\n")
	return true
}

// before gives the text in front of a block or comment whose opening delimiter has that sign, "" for none.
func before(text, sign string, lineStart bool) string {
	switch sign {
	case "-":
		return strings.TrimRightFunc(text, unicode.IsSpace)
	case "":
		line := strings.LastIndexByte(text, '\n') + 1
		if (line > 0 || lineStart) && strings.TrimSpace(text[line:]) == "" {
			return text[:line]
		}
	}
	return text
}

// nextTag finds the next opening delimiter, -1 when there is none.
func nextTag(text string) int {
	for i := 0; ; i++ {
		n := strings.IndexByte(text[i:], '{')
		if n < 0 || i+n+1 >= len(text) {
			return -1
		}
		i += n
		switch text[i+1] {
		case '{', '%', '#':
			return i
		}
	}
}

func (l *lexer) line() int { return 1 + strings.Count(l.whole[:len(l.whole)-len(l.source)], "\n") }

func (l *lexer) failf(format string, args ...any) {
	failf("line %d: %s", l.line(), fmt.Sprintf(format, args...))
}

func (l *lexer) add(kind tokenKind, text string) {
	if kind != tokenData || text != "" {
		l.tokens = append(l.tokens, token{kind, text, l.line()})
	}
}

// Operators, longer ones first.
var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|"}

// expression reads the tokens of a tag up to its closing delimiter and returns that delimiter's sign, 0 for none.
func (l *lexer) expression(closing string) (sign byte) {
	brackets := 0
	for {
		l.source = strings.TrimLeftFunc(l.source, unicode.IsSpace)
		if l.source == "" {
			l.failf("a tag has no end %q", closing)
		}
		if brackets == 0 {
			if strings.HasPrefix(l.source, closing) {
				l.source = l.source[2:]
				return 0
			}
			if first := l.source[0]; (first == '-' || first == '+') && strings.HasPrefix(l.source[1:], closing) {
				l.source = l.source[3:]
				return first
			}
		}
		switch c, _ := utf8.DecodeRuneInString(l.source); {
		case c == '"' || c == '\'':
			l.str(byte(c))
		case '0' <= c && c <= '9':
			l.number()
		case c == '_' || unicode.IsLetter(c):
			l.take(tokenName, l.span(isNameRune))
		default:
			op := ""
			for _, o := range operators {
				if strings.HasPrefix(l.source, o) {
					op = o
					break
				}
			}
			switch op {
			case "":
				l.failf("unexpected character %q", c)
			case "(", "[", "{":
				brackets++
			case ")", "]", "}":
				brackets--
			}
			l.take(tokenOperator, len(op))
		}
	}
}

func isNameRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// span is the length of the characters for which is holds.
func (l *lexer) span(is func(rune) bool) int {
	n := strings.IndexFunc(l.source, func(r rune) bool { return !is(r) })
	if n < 0 {
		return len(l.source)
	}
	return n
}

func (l *lexer) take(kind tokenKind, n int) {
	l.add(kind, l.source[:n])
	l.source = l.source[n:]
}

var (
	floatForm   = regexp.MustCompile(`^\d[\d_]*(?:(?:\.\d[\d_]*)?[eE][+-]?\d[\d_]*|\.\d[\d_]*)`)
	integerForm = regexp.MustCompile(`^(?:0[bB][01_]+|0[oO][0-7_]+|0[xX][\da-fA-F_]+|\d[\d_]*)`)
)

func (l *lexer) number() {
	afterDot := len(l.tokens) > 0 && l.tokens[len(l.tokens)-1].is(".")
	if n := len(floatForm.FindString(l.source)); n > 0 && !afterDot {
		l.take(tokenFloat, n)
		return
	}
	l.take(tokenInteger, len(integerForm.FindString(l.source)))
}

// str reads a string literal with its escapes.
func (l *lexer) str(quote byte) {
	var value strings.Builder
	for i := 1; i < len(l.source); i++ {
		switch c := l.source[i]; c {
		case quote:
			l.add(tokenString, value.String())
			l.source = l.source[i+1:]
			return
		case '\\':
			if i++; i == len(l.source) {
				break
			}
			if plain := strings.IndexByte(`nrtabfv0\'"`, l.source[i]); plain >= 0 {
				value.WriteByte("\n\r\t\a\b\f\v\x00\\'\""[plain])
			} else if digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[l.source[i]]; digits > 0 {
				var r rune
				if i+digits >= len(l.source) {
					l.failf("a string has no end")
				}
				if n, err := fmt.Sscanf(l.source[i+1:i+1+digits], "%x", &r); n != 1 || err != nil {
					l.failf("bad escape in a string")
				}
				value.WriteRune(r)
				i += digits
			} else {
				value.WriteByte('\\')
				value.WriteByte(l.source[i])
			}
		default:
			value.WriteByte(c)
		}
	}
	l.failf("a string has no end")
}
