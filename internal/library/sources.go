package library

import "github.com/flashback-lm/flashback/internal/retrieve/bm25"

// Sources returns up to n of the documents that an index holds, uploaded or not, in the
// order of their names: those behind the name after. more tells that others follow.
func (l *Library) Sources(name, after string, n int) (sources []bm25.Source, more bool, err error) {
	r, err := l.Acquire(name)
	if err != nil {
		return nil, false, err
	}
	defer r.Release()
	for s, err := range r.s.several.Parts()[0].Index.Sources() {
		switch {
		case err != nil:
			return nil, false, err
		case s.Name <= after:
		case len(sources) == n:
			return sources, true, nil
		default:
			sources = append(sources, s)
		}
	}
	return sources, false, nil
}
