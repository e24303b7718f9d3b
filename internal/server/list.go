package server

import (
	"net/http"
	"slices"
	"strconv"
)

// page says which part of a list a client asks for, as OpenAI's lists do.
type page struct {
	limit         int
	after, before string // ids; "": from the beginning, to the end
	ascending     bool
}

// readPage reads the query of a list of at most most things, usual where it does not say.
func readPage(r *http.Request, usual, most int) (p page, err error) {
	q := r.URL.Query()
	p = page{limit: usual, after: q.Get("after"), before: q.Get("before")}
	if s := q.Get("limit"); s != "" {
		if p.limit, err = strconv.Atoi(s); err != nil || p.limit < 1 || p.limit > most {
			return p, Invalid("limit", "limit: give a number from 1 to %d", most)
		}
	}
	switch order := q.Get("order"); order {
	case "", "desc":
	case "asc":
		p.ascending = true
	default:
		return p, Invalid("order", "order: give asc or desc")
	}
	return p, nil
}

// listing is a part of a list.
type listing[T any] struct {
	Object string  `json:"object"`
	Data   []T     `json:"data"`
	First  *string `json:"first_id"`
	Last   *string `json:"last_id"`
	More   bool    `json:"has_more"`
}

// listOf returns the part that is asked for of all, which come the oldest first.
func listOf[T any](all []T, id func(T) string, p page) (listing[T], error) {
	l := listing[T]{Object: "list", Data: []T{}}
	if !p.ascending {
		slices.Reverse(all)
	}
	find := func(param, wanted string) (int, error) {
		at := slices.IndexFunc(all, func(v T) bool { return id(v) == wanted })
		if at < 0 {
			return 0, Invalid(param, "%s: the list has no %q", param, clip(wanted))
		}
		return at, nil
	}
	if p.before != "" {
		at, err := find("before", p.before)
		if err != nil {
			return l, err
		}
		all = all[:at]
	}
	if p.after != "" {
		at, err := find("after", p.after)
		if err != nil {
			return l, err
		}
		all = all[at+1:]
	} else if p.before != "" && len(all) > p.limit { // those next to it
		l.More = true
		all = all[len(all)-p.limit:]
	}
	if len(all) > p.limit {
		l.More = true
		all = all[:p.limit]
	}
	if l.Data = append(l.Data, all...); len(all) > 0 {
		first, last := id(all[0]), id(all[len(all)-1])
		l.First, l.Last = &first, &last
	}
	return l, nil
}

// writeList answers with the part of a list that is asked for.
func writeList[T any](w http.ResponseWriter, all []T, id func(T) string, p page) error {
	l, err := listOf(all, id, p)
	if err == nil {
		writeJSON(w, http.StatusOK, l)
	}
	return err
}
