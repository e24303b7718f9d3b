package jinja

import "slices"

// Statements beside text, output and conditions: loops, assignments, macros and what calls or scopes them.

// jump says how a loop's body ended early.
type jump uint8

const (
	noJump jump = iota
	breakLoop
	continueLoop
)

// target is what a value is assigned to: a name, an attribute of a namespace, or several targets for its elements.
type target struct {
	name, attribute string
	parts           []target
}

// target reads what stands left of "=" or "in"; several, with commas between, are one.
func (p *parser) target() target {
	defer p.enter()()
	first := p.oneTarget()
	if !p.peek().is(",") {
		return first
	}
	parts := []target{first}
	for p.accept(",") {
		if t := p.peek(); t.is("in") || t.is("=") || t.is(")") {
			break
		}
		parts = append(parts, p.oneTarget())
	}
	return target{parts: parts}
}

func (p *parser) oneTarget() target {
	if p.accept("(") {
		inner := p.target()
		p.expect(")")
		return inner
	}
	t := target{name: p.name()}
	if p.accept(".") {
		t.attribute = p.name()
	}
	return t
}

// assign gives a value to a target.
func (r *render) assign(to target, value any) {
	switch {
	case to.parts != nil:
		elements, ok := sequence(value)
		if !ok {
			elements = r.iterate(value)
		}
		if len(elements) != len(to.parts) {
			failf("%s cannot be taken apart into %d names", describe(value), len(to.parts))
		}
		for i, part := range to.parts {
			r.assign(part, elements[i])
		}
	case to.attribute != "":
		ns, ok := r.lookup(to.name).(*namespace)
		if !ok {
			failf("%s is no namespace, so %s.%s cannot be set", to.name, to.name, to.attribute)
		}
		ns.set(r, to.attribute, value)
	default:
		r.set(to.name, value)
	}
}

// loop is the variable of that name in a for block. In a recursive one it is called with the list to go down into.
type loop struct {
	Dict
	down function // nil where the block is not recursive
}

func newLoop(items []any, i, depth int, down function) *loop {
	d := NewDict("index", i+1, "index0", i, "revindex", len(items)-i, "revindex0", len(items)-i-1,
		"first", i == 0, "last", i == len(items)-1, "length", len(items), "depth", depth+1, "depth0", depth)
	d.Set("cycle", function(func(_ *render, a arguments) any {
		if len(a.positional) == 0 {
			failf("loop.cycle takes at least one value")
		}
		return a.positional[i%len(a.positional)]
	}))
	if i > 0 {
		d.Set("previtem", items[i-1])
	}
	if i+1 < len(items) {
		d.Set("nextitem", items[i+1])
	}
	return &loop{*d, down}
}

func (p *parser) forBlock() statement {
	to := p.target()
	p.expect("in")
	list := p.tuple(p.or) // no "x if y else z" here: an "if" filters
	var filter expr
	if p.accept("if") {
		filter = p.expression()
	}
	recursive := p.accept("recursive")
	p.endBlock()
	p.loops++
	body := p.statements("else", "endfor")
	p.loops--
	var otherwise []statement
	if p.accept("else") {
		p.endBlock()
		otherwise = p.statements("endfor")
	}
	p.end("endfor")
	var run func(r *render, items []any, depth int)
	run = func(r *render, items []any, depth int) {
		defer r.push()()
		if filter != nil {
			kept := r.list(0)
			for _, item := range items {
				r.step()
				r.assign(to, item)
				if truth(filter(r)) {
					kept = r.append(kept, item)
				}
			}
			items = kept
		}
		last := any(undefined{"the values before"})
		down := function(func(r *render, a arguments) any {
			defer r.nest()()
			return r.capture(func() { run(r, r.iterate(a.get(0, "iterable", undefined{"iterable"})), depth+1) })
		})
		if !recursive {
			down = nil
		}
		whole := false // whether a turn came to its end: as in Jinja, else runs otherwise
		for i, item := range items {
			r.step()
			leave := r.push()
			at := newLoop(items, i, depth, down)
			at.Set("changed", function(func(r *render, a arguments) any {
				now := any(append([]any{}, a.positional...))
				same := r.equal(last, now)
				last = now
				return !same
			}))
			r.set("loop", at)
			r.assign(to, item)
			r.run(body)
			leave()
			ended := r.jump
			r.jump = noJump
			if ended == breakLoop {
				break
			}
			whole = whole || ended == noJump
		}
		if !whole {
			r.run(otherwise)
		}
	}
	return func(r *render) { run(r, r.iterate(list(r)), 0) }
}

// setBlock reads "set x = …", "set ns.x = …", "set a, b = …" and "set x" up to endset, perhaps with filters.
func (p *parser) setBlock() statement {
	to := p.target()
	if p.accept("=") {
		value := p.tuple(p.expression)
		p.endBlock()
		return func(r *render) { r.assign(to, value(r)) }
	}
	if to.parts != nil {
		p.failf("%s where \"=\" should be", p.peek())
	}
	filtered := captured
	for p.accept("|") {
		filtered = p.filter(filtered)
	}
	p.endBlock()
	body := p.statements("endset")
	p.end("endset")
	return func(r *render) { r.assign(to, r.captured(body, filtered)) }
}

// filterBlock reads "filter f | g" up to endfilter.
func (p *parser) filterBlock() statement {
	filtered := p.filter(captured)
	for p.accept("|") {
		filtered = p.filter(filtered)
	}
	p.endBlock()
	body := p.statements("endfilter")
	p.end("endfilter")
	return func(r *render) { r.write(r.str(r.captured(body, filtered))) }
}

// captured is the text that a set or filter block has written, to what filters it.
func captured(r *render) any { return r.block }

// captured runs body and gives what it writes, filtered.
func (r *render) captured(body []statement, filtered expr) any {
	text := r.capture(func() { r.run(body) })
	outer := r.block
	defer func() { r.block = outer }()
	r.block = text
	return filtered(r)
}

// withBlock reads "with a = x, b = y" up to endwith. Its values are those outside.
func (p *parser) withBlock() statement {
	var targets []target
	var values []expr
	for p.peek().kind != tokenBlockEnd {
		if len(targets) > 0 {
			p.expect(",")
		}
		targets = append(targets, p.oneTarget())
		p.expect("=")
		values = append(values, p.expression())
	}
	p.endBlock()
	body := p.statements("endwith")
	p.end("endwith")
	return func(r *render) {
		given := r.list(len(values))
		for _, value := range values {
			given = append(given, value(r))
		}
		defer r.push()()
		for i, to := range targets {
			r.assign(to, given[i])
		}
		r.run(body)
	}
}

// jumpBlock reads "break" or "continue".
func (p *parser) jumpBlock(word string, how jump) statement {
	if p.loops == 0 {
		p.failf("%q stands outside of a loop", word)
	}
	p.endBlock()
	return func(r *render) { r.jump = how }
}

// parameter is one of a macro's.
type parameter struct {
	name      string
	otherwise expr // nil where there is no default
}

// parameters reads what stands between a macro's parentheses, the opening one having been read.
func (p *parser) parameters() []parameter {
	var all []parameter
	for !p.accept(")") {
		one := parameter{name: p.name()}
		if p.accept("=") {
			one.otherwise = p.expression()
		}
		all = append(all, one)
		if !p.peek().is(")") {
			p.expect(",")
		}
	}
	return all
}

// macroBody reads up to the closing tag and gives what makes the macro, bound to the scope that it is made in.
func (p *parser) macroBody(name string, parameters []parameter, closing string) func(r *render) function {
	loops, start := p.loops, p.at
	p.loops = 0 // a loop around it is not its own
	body := p.statements(closing)
	p.loops = loops
	rest := func(name string) bool { // whether the body asks for arguments that the parameters do not name
		return slices.ContainsFunc(p.tokens[start:p.at], func(t token) bool { return t.kind == tokenName && t.text == name })
	}
	more, named := rest("varargs"), rest("kwargs")
	p.end(closing)
	return func(r *render) function {
		defined := r.scope
		return func(r *render, a arguments) any {
			defer r.nest()()
			outer := r.scope
			defer func() { r.scope = outer }()
			r.scope = &scope{map[string]any{}, defined}
			extra := r.list(0)
			for i := len(parameters); i < len(a.positional); i++ {
				extra = r.append(extra, a.positional[i])
			}
			others := NewDict()
			for _, k := range a.keywords {
				switch {
				case k.name == "caller":
					r.set("caller", k.value)
				case !slices.ContainsFunc(parameters, func(p parameter) bool { return p.name == k.name }):
					others.Set(k.name, k.value)
				}
			}
			if len(extra) > 0 && !more {
				failf("the macro %s takes %d arguments at most", name, len(parameters))
			}
			if len(others.keys) > 0 && !named {
				failf("the macro %s takes no argument %v", name, others.keys[0])
			}
			for i, parameter := range parameters {
				value := a.get(i, parameter.name, undefined{parameter.name})
				if _, missing := value.(undefined); missing && parameter.otherwise != nil {
					value = parameter.otherwise(r)
				}
				r.set(parameter.name, value)
			}
			if more {
				r.set("varargs", tuple(extra))
			}
			if named {
				r.set("kwargs", others)
			}
			return r.capture(func() { r.run(body) })
		}
	}
}

// macroBlock reads "macro name(parameters)" up to endmacro.
func (p *parser) macroBlock() statement {
	name := p.name()
	p.expect("(")
	parameters := p.parameters()
	p.endBlock()
	made := p.macroBody(name, parameters, "endmacro")
	return func(r *render) { r.set(name, made(r)) }
}

// callBlock reads "call(parameters) macro(…)" up to endcall: the macro gets the body as caller.
func (p *parser) callBlock() statement {
	var parameters []parameter
	if p.accept("(") {
		parameters = p.parameters()
	}
	call := p.expression()
	p.endBlock()
	made := p.macroBody("caller", parameters, "endcall")
	return func(r *render) {
		r.caller = made(r)
		text := r.str(call(r))
		r.caller = nil
		r.write(text)
	}
}

// otherTemplate skips a tag that asks for another file: an error where it is run, for there is none.
func (p *parser) otherTemplate(word string) statement {
	for t := p.peek(); t.kind != tokenBlockEnd && t.kind != tokenEnd; t = p.peek() {
		p.at++
	}
	p.endBlock()
	return func(*render) { failf("%q asks for another template, and a model has only one", word) }
}
