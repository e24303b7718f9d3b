package jinja

var dictMethods = map[string]method[*Dict]{
	"items":  dictItems,
	"keys":   func(r *render, d *Dict, a arguments) any { return r.iterate(d) },
	"values": dictValues,
	"get": func(r *render, d *Dict, a arguments) any {
		if key, ok := keyOf(a.get(0, "key", undefined{"key"})); ok && d.has(key) {
			return d.values[key]
		}
		return a.get(1, "default", nil)
	},
}

// listMethods are those that change nothing; transformers allows no others.
var listMethods = map[string]method[[]any]{
	"index": func(r *render, list []any, a arguments) any {
		for i, e := range list {
			if r.equal(e, a.get(0, "value", undefined{"value"})) {
				return i
			}
		}
		failf("%s is not in the list", describe(a.get(0, "value", undefined{"value"})))
		return nil
	},
	"count": func(r *render, list []any, a arguments) any {
		n := 0
		for _, e := range list {
			if r.equal(e, a.get(0, "value", undefined{"value"})) {
				n++
			}
		}
		return n
	},
	"copy": func(r *render, list []any, a arguments) any { return append(r.list(len(list)), list...) },
}

func mustDict(value any) *Dict {
	d, ok := value.(*Dict)
	if !ok {
		failf("%s is no mapping", describe(value))
	}
	return d
}

func dictItems(r *render, d *Dict, _ arguments) any {
	list := r.list(0)
	for _, key := range d.keys {
		list = r.append(list, tuple(append(r.list(2), key, d.values[key])))
	}
	return list
}

func dictValues(r *render, d *Dict, _ arguments) any {
	list := r.list(len(d.keys))
	for _, key := range d.keys {
		list = append(list, d.values[key])
	}
	return list
}
