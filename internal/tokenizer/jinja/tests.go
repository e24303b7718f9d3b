package jinja

import "unicode"

// ofType makes a test for values of type T.
func ofType[T any](r *render, a arguments) any {
	_, ok := a.positional[0].(T)
	return ok
}

func negated(f function) function { return func(r *render, a arguments) any { return !truth(f(r, a)) } }

func isEqual(r *render, a arguments) any {
	return r.equal(a.positional[0], a.get(1, "other", undefined{"other"}))
}

// compared makes a test by a comparison with an argument.
func compared(op string) function {
	return func(r *render, a arguments) any {
		return r.compare(op, a.positional[0], a.get(1, "other", undefined{"other"}))
	}
}

// tests are what may stand behind "is".
var tests map[string]function

func init() { // two of them look names up
	tests = map[string]function{
		"defined":   negated(ofType[undefined]),
		"undefined": ofType[undefined],
		"none":      func(r *render, a arguments) any { return a.positional[0] == nil },
		"string":    ofType[string],
		"boolean":   ofType[bool],
		"integer":   ofType[int],
		"float":     ofType[float64],
		"number":    func(r *render, a arguments) any { _, ok := float(a.positional[0]); return ok },
		"mapping":   ofType[*Dict],
		"sequence":  isSequence,
		"iterable":  isSequence,
		"callable":  ofType[function],
		"true":      func(r *render, a arguments) any { return a.positional[0] == true },
		"false":     func(r *render, a arguments) any { return a.positional[0] == false },
		"sameas":    isEqual,
		"escaped":   func(*render, arguments) any { return false },
		"equalto":   isEqual,
		"eq":        isEqual,
		"==":        isEqual,
		"ne":        negated(isEqual),
		"!=":        negated(isEqual),
		"in": func(r *render, a arguments) any {
			return r.contains(a.get(1, "seq", undefined{"seq"}), a.positional[0])
		},
		"odd":  func(r *render, a arguments) any { return mod(mustInteger(a.positional[0]), 2) == 1 },
		"even": func(r *render, a arguments) any { return mod(mustInteger(a.positional[0]), 2) == 0 },
		"divisibleby": func(r *render, a arguments) any {
			return intArithmetic("%", mustInteger(a.positional[0]), mustInteger(a.get(1, "num", undefined{"num"}))) == 0
		},
		"lower": func(r *render, a arguments) any {
			return isCase(r.str(a.positional[0]), unicode.IsLower, unicode.IsUpper)
		},
		"upper": func(r *render, a arguments) any {
			return isCase(r.str(a.positional[0]), unicode.IsUpper, unicode.IsLower)
		},
		"filter": func(r *render, a arguments) any { return filters[r.str(a.positional[0])] != nil },
		"test":   func(r *render, a arguments) any { return tests[r.str(a.positional[0])] != nil },
	}
	for op, names := range map[string][]string{"<": {"lt", "lessthan"}, "<=": {"le"}, ">": {"gt", "greaterthan"}, ">=": {"ge"}} {
		for _, name := range append(names, op) {
			tests[name] = compared(op)
		}
	}
}

func isSequence(r *render, a arguments) any {
	switch a.positional[0].(type) {
	case string, []any, tuple, *Dict, undefined:
		return true
	}
	return false
}
