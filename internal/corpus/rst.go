package corpus

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// parseRST reads reStructuredText: its sections become '#' lines, by the order in
// which their adornments are met; the content of directives is kept, their names,
// options and comments are not.
func parseRST(f file) (Document, error) {
	doc, err := f.text()
	r := rst{lines: strings.Split(doc.Text, "\n"), levels: map[string]int{}}
	r.read()
	if field := titleField.FindStringSubmatch(doc.Text); field != nil {
		doc.Title = oneLine(field[1])
	}
	doc.Text = strings.Join(r.out, "\n")
	return doc, err
}

// rst writes a line for every line that it reads, so that their numbers stay.
type rst struct {
	lines  []string
	out    []string
	levels map[string]int // by adornment; "=o" is one above and below
}

var (
	directive   = regexp.MustCompile(`^\s*\.\. (?:\|[^|]*\| )?([\w:.-]+)::\s*(.*)$`)
	target      = regexp.MustCompile(`^\s*\.\. _[^:]*:`)
	role        = regexp.MustCompile(":[\\w:.-]+:`~?([^`<]*?)(?: ?<[^`>]*>)?`")
	hyperlink   = regexp.MustCompile("`([^`<]+?) ?<[^`>]*>`__?")
	literal     = regexp.MustCompile("``([^`]+)``")
	reference   = regexp.MustCompile("`([^`]+)`__?")
	titleField  = regexp.MustCompile(`(?i)^\s*(?::[\w -]+:.*\n)*:title: *(.+)`)
	optionField = regexp.MustCompile(`^\s+:[\w-]+:`)
)

// silentDirectives are those whose content is not text.
var silentDirectives = map[string]bool{
	"image": true, "toctree": true, "contents": true, "raw": true, "include": true, "literalinclude": true, "index": true,
	"highlight": true, "default-role": true, "meta": true, "module": true, "currentmodule": true, "sectnum": true, "sectionauthor": true,
}

func (r *rst) read() {
	for i := 0; i < len(r.lines); i++ {
		line := r.lines[i]
		if mark := adornment(line); mark != "" {
			if title, ok := r.overlined(i, mark); ok {
				r.heading(mark+"o", title)
				r.out = append(r.out, "", "")
				i += 2
				continue
			}
			r.out = append(r.out, "") // a transition
			continue
		}
		if mark := r.underlined(i); mark != "" {
			r.heading(mark, strings.TrimSpace(line))
			r.out = append(r.out, "")
			i++
			continue
		}
		switch d := directive.FindStringSubmatch(line); {
		case d != nil:
			i = r.directive(i, d[1], d[2])
		case target.MatchString(line):
			r.out = append(r.out, "")
		case strings.HasPrefix(strings.TrimSpace(line), ".. [") || strings.HasPrefix(strings.TrimSpace(line), ".. |"):
			r.out = append(r.out, inline(strings.TrimSpace(line)[3:])) // a footnote
		case strings.TrimSpace(line) == ".." || strings.HasPrefix(strings.TrimSpace(line), ".. "):
			i = r.skip(i)
		case strings.HasSuffix(strings.TrimSpace(line), "::"):
			r.out = append(r.out, inline(strings.TrimSuffix(strings.TrimRight(line, " \t"), ":")))
			i = r.code(i)
		default:
			r.out = append(r.out, inline(line))
		}
	}
}

func (r *rst) heading(mark, title string) {
	level, ok := r.levels[mark]
	if !ok {
		level = len(r.levels) + 1
		r.levels[mark] = level
	}
	r.out = append(r.out, strings.Repeat("#", min(level, 6))+" "+inline(title))
}

// adornment returns the character of a line that is made of one punctuation mark,
// at least twice.
func adornment(line string) string {
	t := strings.TrimRight(line, " \t")
	if len(t) < 2 || strings.IndexByte("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", t[0]) < 0 || strings.Trim(t, t[:1]) != "" {
		return ""
	}
	return t[:1]
}

// underlined returns the mark of the line below if it makes line i a heading.
func (r *rst) underlined(i int) string {
	title := r.lines[i]
	if strings.TrimSpace(title) == "" || title[0] == ' ' || title[0] == '\t' || i+1 >= len(r.lines) || i > 0 && strings.TrimSpace(r.lines[i-1]) != "" {
		return ""
	}
	below := strings.TrimRight(r.lines[i+1], " \t")
	mark := adornment(below)
	if mark == "" || len(below) < 3 && utf8.RuneCountInString(strings.TrimSpace(title)) > len(below) {
		return ""
	}
	return mark
}

func (r *rst) overlined(i int, mark string) (title string, ok bool) {
	if i+2 >= len(r.lines) || adornment(r.lines[i+2]) != mark || i > 0 && strings.TrimSpace(r.lines[i-1]) != "" {
		return "", false
	}
	title = strings.TrimSpace(r.lines[i+1])
	return title, title != "" && adornment(title) == "" && !strings.Contains(title, "  ")
}

// directive reads one's first lines and returns the last of them; its content is
// read as what follows, code within fences.
func (r *rst) directive(i int, name, argument string) int {
	if silentDirectives[name] {
		return r.skip(i)
	}
	code := name == "code-block" || name == "code" || name == "sourcecode" || name == "parsed-literal"
	if code || name == "figure" {
		argument = ""
	}
	r.out = append(r.out, inline(argument))
	for i+1 < len(r.lines) && optionField.MatchString(r.lines[i+1]) {
		i++
		r.out = append(r.out, "")
	}
	if code {
		return r.code(i)
	}
	return i
}

// code reads the block that is indented below line i and returns its last line. The
// empty lines around it become fences, so that its comments are no headings.
func (r *rst) code(i int) int {
	first := i + 1
	for first < len(r.lines) && strings.TrimSpace(r.lines[first]) == "" {
		first++
	}
	if first == i+1 || first == len(r.lines) || width(r.lines[first]) == 0 {
		return i
	}
	depth := width(r.lines[first])
	r.out = append(r.out, "```")
	r.out = append(r.out, make([]string, first-i-2)...)
	for i = first; i < len(r.lines) && (strings.TrimSpace(r.lines[i]) == "" || width(r.lines[i]) >= depth); i++ {
		r.out = append(r.out, r.lines[i][min(depth, len(r.lines[i])):])
	}
	if last := len(r.out) - 1; strings.TrimSpace(r.out[last]) == "" {
		r.out[last] = "```"
	}
	return i - 1
}

// skip leaves out line i and what is indented below it, and returns the last line.
func (r *rst) skip(i int) int {
	indent := width(r.lines[i])
	r.out = append(r.out, "")
	for i+1 < len(r.lines) && (strings.TrimSpace(r.lines[i+1]) == "" || width(r.lines[i+1]) > indent) {
		i++
		r.out = append(r.out, "")
	}
	return i
}

// width returns how far a line is indented.
func width(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// inline drops the marks of roles, links and code.
func inline(line string) string {
	if strings.IndexByte(line, '`') < 0 {
		return line
	}
	line = literal.ReplaceAllString(line, "$1")
	line = role.ReplaceAllString(line, "$1")
	line = hyperlink.ReplaceAllString(line, "$1")
	return reference.ReplaceAllString(line, "$1")
}
