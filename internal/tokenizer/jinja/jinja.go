// Package jinja renders the chat templates that models bring along.
//
// They are written in Jinja, and they come from files that nobody has looked at, so what a render may cost is bounded: the
// size of the template, the depth of its nesting, the steps taken and the bytes made. nikolalohinski/gonja has no place to
// count them (a loop that doubles a string ends only when memory does) and reads other files; hence this small interpreter
// of what chat templates use. A statement that it does not know is an error that names it.
//
// Templates see what Hugging Face's transformers gives them: trim_blocks, lstrip_blocks and loop controls are on,
// raise_exception and strftime_now are there, tojson does not escape HTML. A name that the interpreter does not know, of a
// filter, a test or a method, is an error only where it is run.
package jinja

import (
	"fmt"
	"strings"
)

// Limits. The largest chat templates in use have some 20 KB.
const (
	maxSource = 64 << 10 // bytes of a template
	maxDepth  = 256      // of expressions, statements and values within one another
	maxSteps  = 1 << 18  // names, constants, operations and loop turns in a render, beside those for what it is given
	maxBytes  = 32 << 20 // of strings and lists made in a render, beside maxGrowth times what it is given
	maxGrowth = 16

	bytesPerStep = 4 // of what a render is given, for which it may take one step more
)

// Template is a parsed template. It is safe for concurrent use.
type Template struct{ body []statement }

// Parse reads a template. The error names the line and what is wrong there.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%d bytes long; at most %d are supported", len(source), maxSource)
	}
	defer recoverFailure(&err)
	p := &parser{tokens: lex(source)}
	body := p.statements()
	if p.peek().kind != tokenEnd {
		p.failf("unexpected %s", p.peek())
	}
	return &Template{body}, nil
}

// Render runs the template on variables: nil, bool, int, string, []any, *Dict. The error says what the template refused by
// raise_exception, what it did wrong, or which bound it passed.
func (t *Template) Render(variables map[string]any) (text string, err error) {
	defer recoverFailure(&err)
	r := &render{scope: &scope{names: map[string]any{}}, steps: maxSteps, bytes: maxBytes}
	for name, f := range globals {
		r.scope.names[name] = f
	}
	for name, value := range variables {
		n := sizeOf(value)
		r.bytes += maxGrowth * n
		r.steps += n / bytesPerStep
		r.scope.names[name] = value
	}
	var out strings.Builder
	r.out = &out
	r.run(t.body)
	return out.String(), nil
}

// sizeOf is the number of bytes that a value is counted as.
func sizeOf(value any) (n int) {
	switch v := value.(type) {
	case string:
		return len(v)
	case []any:
		for _, e := range v {
			n += entryBytes + sizeOf(e)
		}
	case *Dict:
		for _, key := range v.keys {
			n += entryBytes + sizeOf(key) + sizeOf(v.values[key])
		}
	}
	return n
}

// failure carries an error up through the parser or interpreter, as a panic, to Parse or Render.
type failure struct{ error }

func failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// recoverFailure turns a failure into an error and lets any other panic pass.
func recoverFailure(err *error) {
	switch p := recover().(type) {
	case nil:
	case failure:
		*err = p.error
	default:
		panic(p)
	}
}
