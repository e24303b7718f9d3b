package jinja

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// statement does its work on a render: writes text, sets a name, runs other statements.
type statement func(*render)

// expr gives a value.
type expr func(*render) any

type parser struct {
	tokens []token
	at     int
	depth  int
	loops  int // around what is read, within its macro
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept takes the next token if it is that keyword or operator.
func (p *parser) accept(text string) bool {
	if p.peek().is(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.failf("%s where %q should be", p.peek(), text)
	}
}

func (p *parser) expectKind(kind tokenKind, what string) token {
	t := p.next()
	if t.kind != kind {
		p.failf("%s where %s should be", t, what)
	}
	return t
}

func (p *parser) name() string { return p.expectKind(tokenName, "a name").text }

func (p *parser) failf(format string, args ...any) {
	failf("line %d: %s", p.peek().line, fmt.Sprintf(format, args...))
}

// enter counts nesting; the caller defers what it returns.
func (p *parser) enter() (leave func()) {
	if p.depth++; p.depth > maxDepth {
		p.failf("nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }
}

// statements reads up to the end of the template or a block that begins with one of the words in until, which is left to be
// read after its "{%".
func (p *parser) statements(until ...string) (body []statement) {
	defer p.enter()()
	for {
		switch t := p.next(); t.kind {
		case tokenEnd:
			if until != nil {
				p.failf("%q is missing", until[len(until)-1])
			}
			return body
		case tokenData:
			body = append(body, func(r *render) { r.write(t.text) })
		case tokenOutput:
			value := p.tuple(p.expression)
			p.expectKind(tokenOutputEnd, "the end of the tag")
			body = append(body, func(r *render) { r.write(r.str(value(r))) })
		case tokenBlock:
			word := p.peek()
			if word.kind == tokenName && slices.Contains(until, word.text) {
				return body
			}
			body = append(body, p.block(p.name()))
		}
	}
}

func (p *parser) endBlock() { p.expectKind(tokenBlockEnd, "the end of the tag") }

// end reads the closing tag of a block.
func (p *parser) end(word string) {
	p.expect(word)
	p.endBlock()
}

func (p *parser) block(word string) statement {
	switch word {
	case "if":
		return p.ifBlock()
	case "for":
		return p.forBlock()
	case "set":
		return p.setBlock()
	case "break":
		return p.jumpBlock(word, breakLoop)
	case "continue":
		return p.jumpBlock(word, continueLoop)
	case "macro":
		return p.macroBlock()
	case "call":
		return p.callBlock()
	case "filter":
		return p.filterBlock()
	case "with":
		return p.withBlock()
	case "include", "import", "from", "extends":
		return p.otherTemplate(word)
	case "generation": // marks what an assistant wrote, for training; no effect here
		p.endBlock()
		body := p.statements("endgeneration")
		p.end("endgeneration")
		return func(r *render) { r.run(body) }
	}
	p.failf("the statement %q is not supported", word)
	return nil
}

// ifBlock reads a block after "if" or "elif", up to endif.
func (p *parser) ifBlock() statement {
	defer p.enter()()
	condition := p.expression()
	p.endBlock()
	then := p.statements("elif", "else", "endif")
	var otherwise []statement
	switch {
	case p.accept("elif"):
		otherwise = []statement{p.ifBlock()}
	case p.accept("else"):
		p.endBlock()
		otherwise = p.statements("endif")
		p.end("endif")
	default:
		p.end("endif")
	}
	return func(r *render) {
		if truth(condition(r)) {
			r.run(then)
		} else {
			r.run(otherwise)
		}
	}
}

// tuple reads one value, or several with commas between, which are a tuple.
func (p *parser) tuple(one func() expr) expr {
	first := one()
	if !p.peek().is(",") {
		return first
	}
	values := []expr{first}
	for p.accept(",") {
		if t := p.peek(); t.kind == tokenBlockEnd || t.kind == tokenOutputEnd || t.is("if") || t.is("recursive") {
			break
		}
		values = append(values, one())
	}
	return tupleOf(values)
}

func tupleOf(values []expr) expr {
	return func(r *render) any {
		list := r.list(len(values))
		for _, value := range values {
			list = append(list, value(r))
		}
		return tuple(list)
	}
}

// expression reads the loosest binding: x if y else z. One without else gives undefined.
func (p *parser) expression() expr {
	defer p.enter()()
	value := p.or()
	for p.accept("if") {
		then, condition := value, p.or()
		otherwise := expr(func(*render) any { return undefined{"the value of an if without else"} })
		if p.accept("else") {
			otherwise = p.expression()
		}
		value = func(r *render) any {
			if truth(condition(r)) {
				return then(r)
			}
			return otherwise(r)
		}
	}
	return value
}

func (p *parser) or() expr {
	left := p.and()
	for p.accept("or") {
		a, b := left, p.and()
		left = func(r *render) any {
			if v := a(r); truth(v) {
				return v
			}
			return b(r)
		}
	}
	return left
}

func (p *parser) and() expr {
	left := p.not()
	for p.accept("and") {
		a, b := left, p.not()
		left = func(r *render) any {
			if v := a(r); !truth(v) {
				return v
			}
			return b(r)
		}
	}
	return left
}

func (p *parser) not() expr {
	defer p.enter()()
	if p.accept("not") {
		value := p.not()
		return func(r *render) any { return !truth(value(r)) }
	}
	return p.comparison()
}

// comparison reads a chain: a < b < c is a < b and b < c.
func (p *parser) comparison() expr {
	left := p.binary(0)
	type link struct {
		op    string
		right expr
	}
	var chain []link
	for {
		op := p.peek().text
		switch {
		case p.accept("=="), p.accept("!="), p.accept("<"), p.accept("<="), p.accept(">"), p.accept(">="), p.accept("in"):
		case p.peek().is("not") && p.tokens[p.at+1].is("in"):
			p.at += 2
			op = "not in"
		default:
			if chain == nil {
				return left
			}
			return func(r *render) any {
				a := left(r)
				for _, link := range chain {
					b := link.right(r)
					if !r.compare(link.op, a, b) {
						return false
					}
					a = b
				}
				return true
			}
		}
		chain = append(chain, link{op, p.binary(0)})
	}
}

// levels are the arithmetic operators, loosest first.
var levels = [][]string{{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}}

func (p *parser) binary(level int) expr {
	if level == len(levels) {
		return p.unary(true)
	}
	left := p.binary(level + 1)
	for {
		op := p.peek()
		if op.kind != tokenOperator || !slices.Contains(levels[level], op.text) {
			return left
		}
		p.at++
		a, b := left, p.binary(level+1)
		left = func(r *render) any { return r.arithmetic(op.text, a(r), b(r)) }
	}
}

// unary reads a value with its sign and what follows it; filters and tests are applied to the signed value, and so only to
// the outermost sign's.
func (p *parser) unary(filtered bool) expr {
	defer p.enter()()
	var value expr
	switch {
	case p.accept("-"):
		of := p.unary(false)
		value = func(r *render) any { return r.arithmetic("-", 0, of(r)) }
	case p.accept("+"):
		value = p.unary(false)
	default:
		value = p.primary()
	}
	value = p.postfix(value)
	for filtered {
		of := value
		switch {
		case p.accept("|"):
			value = p.filter(of)
		case p.accept("is"):
			value = p.test(of)
		case p.accept("("):
			value = p.call(of)
		default:
			return value
		}
	}
	return value
}

// postfix reads what may follow a value: .name, [index] and (arguments).
func (p *parser) postfix(value expr) expr {
	for {
		of := value
		switch {
		case p.accept("."):
			if t := p.peek(); t.kind == tokenInteger {
				p.at++
				index, _ := strconv.Atoi(t.text)
				value = func(r *render) any { return item(r, of(r), index) }
				continue
			}
			name := p.name()
			value = func(r *render) any { return attribute(r, of(r), name) }
		case p.accept("["):
			value = p.subscript(of)
		case p.accept("("):
			value = p.call(of)
		default:
			return value
		}
	}
}

// call reads the arguments of a call, the opening parenthesis having been read.
func (p *parser) call(of expr) expr {
	args := p.arguments()
	return func(r *render) any {
		caller := r.caller
		r.caller = nil
		callee := of(r)
		f, ok := callee.(function)
		if l, isLoop := callee.(*loop); isLoop && l.down != nil {
			f, ok = l.down, true
		}
		if !ok {
			failf("%s cannot be called", describe(callee))
		}
		a := args(r)
		if caller != nil {
			a.keywords = append(a.keywords, keyword{"caller", caller})
		}
		return f(r, a)
	}
}

// filter reads a filter behind its "|". One of a name that there is not fails where it is run.
func (p *parser) filter(of expr) expr {
	name := p.dotted()
	f := filters[name]
	args := p.optionalArguments()
	return func(r *render) any {
		if f == nil {
			failf("the filter %q is not supported", name)
		}
		subject := of(r)
		r.scan(subject)
		return f(r, args(r).after(subject))
	}
}

// test reads a test behind its "is". One of a name that there is not fails where it is run.
func (p *parser) test(of expr) expr {
	negate := p.accept("not")
	name := p.dotted()
	test := tests[name]
	args := p.testArguments()
	return func(r *render) any {
		if test == nil {
			failf("the test %q is not supported", name)
		}
		return truth(test(r, args(r).after(of(r)))) != negate
	}
}

// dotted reads a name that may have dots.
func (p *parser) dotted() string {
	name := p.name()
	for p.accept(".") {
		name += "." + p.name()
	}
	return name
}

func (p *parser) subscript(of expr) expr {
	var bounds [3]expr
	slice := false
	for i := range bounds {
		if !p.peek().is(":") && !p.peek().is("]") {
			bounds[i] = p.expression()
		}
		if i == len(bounds)-1 || !p.accept(":") {
			break
		}
		slice = true
	}
	p.expect("]")
	if !slice {
		if bounds[0] == nil {
			p.failf("an index is missing")
		}
		return func(r *render) any { return item(r, of(r), bounds[0](r)) }
	}
	return func(r *render) any {
		var values [3]any
		for i, bound := range bounds {
			if bound != nil {
				values[i] = bound(r)
			}
		}
		return r.slice(of(r), values)
	}
}

// arguments reads what stands between parentheses, the opening one having been read.
func (p *parser) arguments() func(*render) arguments {
	var positional []expr
	type named struct {
		name  string
		value expr
	}
	var keywords []named
	for !p.accept(")") {
		if p.peek().kind == tokenName && p.tokens[p.at+1].is("=") {
			name := p.name()
			p.at++
			keywords = append(keywords, named{name, p.expression()})
		} else {
			positional = append(positional, p.expression())
		}
		if !p.peek().is(")") {
			p.expect(",")
		}
	}
	return func(r *render) arguments {
		var a arguments
		for _, value := range positional {
			a.positional = append(a.positional, value(r))
		}
		for _, k := range keywords {
			a.keywords = append(a.keywords, keyword{k.name, k.value(r)})
		}
		return a
	}
}

func noArguments(*render) arguments { return arguments{} }

func (p *parser) optionalArguments() func(*render) arguments {
	if p.accept("(") {
		return p.arguments()
	}
	return noArguments
}

// testArguments reads a test's arguments: in parentheses, or one value without them.
func (p *parser) testArguments() func(*render) arguments {
	t := p.peek()
	plain := t.kind == tokenString || t.kind == tokenInteger || t.kind == tokenFloat || t.is("[") || t.is("{") ||
		t.kind == tokenName && !slices.Contains([]string{"and", "or", "not", "if", "else", "is", "in"}, t.text)
	if !plain {
		return p.optionalArguments()
	}
	value := p.postfix(p.primary())
	return func(r *render) arguments { return arguments{positional: []any{value(r)}} }
}

func (p *parser) primary() expr {
	defer p.enter()()
	t := p.next()
	constant := func(v any) expr { return func(r *render) any { r.step(); return v } }
	switch t.kind {
	case tokenString:
		text := t.text
		for p.peek().kind == tokenString { // adjacent literals are one
			text += p.next().text
		}
		return constant(text)
	case tokenInteger:
		n, err := strconv.ParseInt(decimal(t.text), 0, 64)
		if err != nil {
			p.failf("the number %s is too large", t.text)
		}
		return constant(int(n))
	case tokenFloat:
		f, _ := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		return constant(f)
	case tokenName:
		switch t.text {
		case "true", "True":
			return constant(true)
		case "false", "False":
			return constant(false)
		case "none", "None":
			return constant(nil)
		}
		return func(r *render) any { r.step(); return r.lookup(t.text) }
	case tokenOperator:
		switch t.text {
		case "(":
			if p.accept(")") {
				return constant(tuple{})
			}
			value := p.expression()
			if p.accept(")") {
				return value
			}
			p.expect(",")
			return tupleOf(p.elements(")", value))
		case "[":
			values := p.elements("]")
			return func(r *render) any { return []any(tupleOf(values)(r).(tuple)) }
		case "{":
			return p.dict()
		}
	}
	p.at--
	p.failf("unexpected %s", t)
	return nil
}

// decimal gives a whole number without underscores and leading zeros, which would make it octal.
func decimal(text string) string {
	text = strings.ReplaceAll(text, "_", "")
	if strings.Trim(text, "0123456789") == "" {
		return cmp.Or(strings.TrimLeft(text, "0"), "0")
	}
	return text
}

// elements reads values up to a closing bracket; those given have been read.
func (p *parser) elements(closing string, values ...expr) []expr {
	for !p.accept(closing) {
		values = append(values, p.expression())
		if !p.peek().is(closing) {
			p.expect(",")
		}
	}
	return values
}

func (p *parser) dict() expr {
	var keys, values []expr
	for !p.accept("}") {
		keys = append(keys, p.expression())
		p.expect(":")
		values = append(values, p.expression())
		if !p.peek().is("}") {
			p.expect(",")
		}
	}
	return func(r *render) any {
		d := NewDict()
		for i := range keys {
			key := mustKey(keys[i](r))
			r.charge(entryBytes)
			d.Set(key, values[i](r))
		}
		return d
	}
}
