// Package gitignore reads patterns as git does: those of a .gitignore, of
// .git/info/exclude and of files in the same form.
//
// The libraries that do this part from git on ordinary patterns: the one that was
// used here before did not hear a nested "!vendor" or "dir/*" with "!dir/keep", and
// go-git's differs on a quarter of the random trees of internal/folder's test.
package gitignore

import (
	"bytes"
	"strings"
)

// Patterns are those of one file, in its order.
type Patterns []pattern

type pattern struct {
	text     string // without '!', a leading and a final '/'
	include  bool   // '!': what matches is kept
	dirOnly  bool   // a final '/': only folders match
	anywhere bool   // no '/' inside: the last name of a path is looked at
}

// Parse reads the lines of a file. No line is wrong: one that can match nothing
// matches nothing.
func Parse(data []byte) Patterns {
	var ps Patterns
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		if strings.HasPrefix(text, "#") {
			continue
		}
		if p, ok := parse(trimBlanks(text)); ok {
			ps = append(ps, p)
		}
	}
	return ps
}

func parse(text string) (p pattern, ok bool) {
	text, p.include = strings.CutPrefix(text, "!")
	text, p.dirOnly = strings.CutSuffix(text, "/")
	p.anywhere = !strings.Contains(text, "/")
	p.text = strings.TrimPrefix(text, "/")
	return p, p.text != ""
}

// trimBlanks drops the blanks at the end of a line that no backslash protects.
func trimBlanks(s string) string {
	end := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = min(i+1, len(s))
	}
	return s[:end]
}

// Verdict is what patterns say of a path.
type Verdict int

const (
	Silent  Verdict = iota // no pattern matches
	Ignore                 // the last that matches leaves it out
	Include                // the last that matches keeps it
)

// Match returns what the last pattern that matches says of a path, which is
// relative to the patterns' folder, with slashes. What lies in an ignored folder
// is ignored too; that is for the caller, who does not descend.
func (ps Patterns) Match(path string, isDir bool) Verdict {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for i := len(ps) - 1; i >= 0; i-- {
		p := &ps[i]
		if p.dirOnly && !isDir {
			continue
		}
		matches := false
		if p.anywhere {
			matches = wildmatch(p.text, name)
		} else {
			matches = p.matchesPath(path)
		}
		switch {
		case matches && p.include:
			return Include
		case matches:
			return Ignore
		}
	}
	return Silent
}

// matchesPath reports whether a pattern with a '/' matches. As in git, what stands
// in front of its first special byte is compared first and the rest is a pattern
// of its own, so that "foo**" reaches into folders whose names begin with foo.
func (p *pattern) matchesPath(path string) bool {
	plain := strings.IndexAny(p.text, `*?[\`)
	if plain < 0 {
		return p.text == path
	}
	rest, ok := strings.CutPrefix(path, p.text[:plain])
	return ok && wildmatch(p.text[plain:], rest)
}
