package jinja

import (
	"fmt"
	"slices"
	"strconv"
)

// statement does its work on a render: writes text, sets a name, runs other statements.
type statement func(*render)

// expr gives a value.
type expr func(*render) any

type parser struct {
	tokens []token
	at     int
	depth  int
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
			value := p.expression()
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

func (p *parser) forBlock() statement {
	names := []string{p.name()}
	for p.accept(",") {
		names = append(names, p.name())
	}
	p.expect("in")
	list := p.or() // no "x if y else z" here: an "if" filters
	var filter expr
	if p.accept("if") {
		filter = p.expression()
	}
	p.endBlock()
	body := p.statements("else", "endfor")
	var otherwise []statement
	if p.accept("else") {
		p.endBlock()
		otherwise = p.statements("endfor")
	}
	p.end("endfor")
	return func(r *render) {
		items := r.iterate(list(r))
		defer r.push()()
		if filter != nil {
			kept := r.list(0)
			for _, item := range items {
				r.step()
				r.bind(names, item)
				if truth(filter(r)) {
					kept = r.append(kept, item)
				}
			}
			items = kept
		}
		for i, item := range items {
			r.step()
			leave := r.push()
			r.bind(names, item)
			r.set("loop", loopDict(items, i))
			r.run(body)
			leave()
		}
		if len(items) == 0 {
			r.run(otherwise)
		}
	}
}

// setBlock reads "set x = …", "set ns.x = …" and "set x" up to endset.
func (p *parser) setBlock() statement {
	name, attribute := p.name(), ""
	if p.accept(".") {
		attribute = p.name()
	}
	assign := func(r *render, value any) {
		if attribute == "" {
			r.set(name, value)
			return
		}
		ns, ok := r.lookup(name).(*namespace)
		if !ok {
			failf("%s is no namespace, so %s.%s cannot be set", name, name, attribute)
		}
		ns.set(r, attribute, value)
	}
	if p.accept("=") {
		value := p.expression()
		p.endBlock()
		return func(r *render) { assign(r, value(r)) }
	}
	p.endBlock()
	body := p.statements("endset")
	p.end("endset")
	return func(r *render) { assign(r, r.capture(body)) }
}

// expression reads the loosest binding: x if y else z. One without else gives undefined.
func (p *parser) expression() expr {
	defer p.enter()()
	value := p.or()
	if !p.accept("if") {
		return value
	}
	condition := p.or()
	otherwise := expr(func(*render) any { return undefined{"the value of an if without else"} })
	if p.accept("else") {
		otherwise = p.expression()
	}
	return func(r *render) any {
		if truth(condition(r)) {
			return value(r)
		}
		return otherwise(r)
	}
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
var levels = [][]string{{"+", "-"}, {"~"}, {"*", "/", "//", "%"}}

func (p *parser) binary(level int) expr {
	if level == len(levels) {
		return p.unary()
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

func (p *parser) unary() expr {
	defer p.enter()()
	if p.accept("-") {
		value := p.unary()
		return func(r *render) any { return r.arithmetic("-", 0, value(r)) }
	}
	if p.accept("+") {
		return p.unary()
	}
	return p.postfix(p.primary())
}

// postfix reads what may follow a value: .name, [index], (arguments), |filter and "is test".
func (p *parser) postfix(value expr) expr {
	for {
		of := value
		switch {
		case p.accept("."):
			name := p.name()
			value = func(r *render) any { return attribute(r, of(r), name) }
		case p.accept("["):
			value = p.subscript(of)
		case p.accept("("):
			args := p.arguments()
			value = func(r *render) any {
				callee := of(r)
				f, ok := callee.(function)
				if !ok {
					failf("%s cannot be called", describe(callee))
				}
				return f(r, args(r))
			}
		case p.accept("|"):
			name := p.name()
			f, ok := filters[name]
			if !ok {
				p.failf("the filter %q is not supported", name)
			}
			args := p.optionalArguments()
			value = func(r *render) any {
				subject := of(r)
				r.scan(subject)
				return f(r, args(r).after(subject))
			}
		case p.accept("is"):
			negate := p.accept("not")
			name := p.next().text
			test, ok := tests[name]
			if !ok {
				p.failf("the test %q is not supported", name)
			}
			args := p.testArguments()
			value = func(r *render) any { return truth(test(r, args(r).after(of(r)))) != negate }
		default:
			return value
		}
	}
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
	plain := t.kind == tokenString || t.kind == tokenInteger || t.kind == tokenFloat || t.is("[") ||
		t.kind == tokenName && !slices.Contains([]string{"and", "or", "not", "if", "else", "is", "in"}, t.text)
	if !plain {
		return p.optionalArguments()
	}
	value := p.primary()
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
		n, err := strconv.Atoi(t.text)
		if err != nil {
			p.failf("the number %s is too large", t.text)
		}
		return constant(n)
	case tokenFloat:
		f, _ := strconv.ParseFloat(t.text, 64)
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
				return constant([]any{})
			}
			value := p.expression()
			if p.accept(")") {
				return value
			}
			p.expect(",")
			return p.elements(")", value)
		case "[":
			return p.elements("]")
		case "{":
			return p.dict()
		}
	}
	p.at--
	p.failf("unexpected %s", t)
	return nil
}

// elements reads a list up to its closing bracket; those in values have been read.
func (p *parser) elements(closing string, values ...expr) expr {
	for !p.accept(closing) {
		values = append(values, p.expression())
		if !p.peek().is(closing) {
			p.expect(",")
		}
	}
	return func(r *render) any {
		list := r.list(len(values))
		for _, value := range values {
			list = append(list, value(r))
		}
		return list
	}
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
			key, ok := keys[i](r).(string)
			if !ok {
				failf("only strings can be keys of a mapping")
			}
			r.charge(entryBytes)
			d.Set(key, values[i](r))
		}
		return d
	}
}
