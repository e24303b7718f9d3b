package jinja

import "time"

// Globals, filters, tests and methods, by name. Each counts what it makes; what it reads has been counted by the caller.

type method[T any] func(r *render, of T, a arguments) any

// Now is the time that strftime_now tells.
var Now = time.Now

// globals are the functions that a template may call.
var globals = map[string]function{
	"raise_exception": func(r *render, a arguments) any {
		failf("the template refuses the conversation: %s", a.str(0, "message"))
		return nil
	},
	"namespace": func(r *render, a arguments) any {
		n := &namespace{*NewDict()}
		if len(a.positional) > 0 {
			d := mustDict(a.positional[0])
			for _, key := range d.keys {
				r.charge(entryBytes)
				n.Set(key, d.values[key])
			}
		}
		for _, k := range a.keywords {
			n.set(r, k.name, k.value)
		}
		return n
	},
	"dict": func(r *render, a arguments) any {
		d := NewDict()
		if len(a.positional) > 0 {
			given := mustDict(a.positional[0])
			for _, key := range given.keys {
				r.charge(entryBytes)
				d.Set(key, given.values[key])
			}
		}
		for _, k := range a.keywords {
			r.charge(entryBytes)
			d.Set(k.name, k.value)
		}
		return d
	},
	"strftime_now": func(r *render, a arguments) any { return r.made(strftime(Now(), a.str(0, "format"))) },
	"range": func(r *render, a arguments) any {
		start, stop, step := 0, 0, 1
		switch n := len(a.positional); n {
		case 1:
			stop = mustInteger(a.positional[0])
		case 2, 3:
			start, stop = mustInteger(a.positional[0]), mustInteger(a.positional[1])
			if n == 3 {
				step = mustInteger(a.positional[2])
			}
		default:
			failf("range takes 1 to 3 numbers")
		}
		if step == 0 {
			failf("range's step is zero")
		}
		var list []any
		for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
			r.step()
			list = r.append(list, i)
		}
		return list
	},
}
