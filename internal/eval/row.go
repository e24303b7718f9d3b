package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/placement"
)

// Row is one row of the table: where evidence stands, and how much of it.
type Row struct {
	Placement placement.Placement // with its echo, and its reserve where the row names one
	K         int                 // passages a stride; 0 for none
	Sink      int32               // token put first in every text, or -1
	Random    bool                // passages drawn at random instead of the best
	Best      int                 // of so many passages, each shown alone, the one that predicts best; 0: the first
	Adapter   string              // by name; "": none
}

// rowOptions are what may stand behind a row's placement.
const rowOptions = "echo=N, echo=turn, apart=N, reserve=N, k=N, best=N, sink=ID, random, adapter=NAME"

// ParseRow reads a placement and its options, such as "none", "virtual:k=2",
// "append:echo=16", "virtual:echo=turn" or "virtual:k=2:sink=0". A row that names no sink gets the one
// given.
func ParseRow(s string, sink int32) (Row, error) { return parseRow(s, sink, placement.Parse) }

// parseRow is ParseRow with those placements that parse knows.
func parseRow(s string, sink int32, parse func(string) (placement.Placement, error)) (Row, error) {
	bad := func(format string, args ...any) (Row, error) {
		return Row{}, fmt.Errorf("row %q: %s", s, fmt.Sprintf(format, args...))
	}
	name, rest, more := strings.Cut(s, ":")
	p, err := parse(name)
	if err != nil {
		return bad("%v", err)
	}
	r := Row{Placement: p, K: 1, Sink: sink}
	if p.Evidence == placement.Nowhere {
		r.K = 0
	}
	for more {
		var option string
		option, rest, more = strings.Cut(rest, ":")
		key, value, _ := strings.Cut(option, "=")
		if option == "random" {
			if r.K == 0 {
				return bad("%s takes no passages", name)
			}
			r.Random = true
			continue
		}
		if key == "adapter" {
			if !AdapterName(value) {
				return bad("%q is no name of an adapter: letters, digits, - _ and . make one", value)
			}
			r.Adapter = value
			continue
		}
		if key == "echo" && value == placement.Echo(placement.Turn).String() {
			if r.Placement, err = r.Placement.WithEcho(placement.Turn); err != nil {
				return bad("%v", err)
			}
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > math.MaxInt32 {
			return bad("%q is none of %s", option, rowOptions)
		}
		switch key {
		case "echo":
			if r.Placement, err = r.Placement.WithEcho(n); err != nil {
				return bad("%v", err)
			}
		case "apart":
			if r.Placement, err = r.Placement.WithApart(n); err != nil {
				return bad("%v", err)
			}
		case "reserve":
			if r.Placement, err = r.Placement.WithReserve(n); err != nil {
				return bad("%v", err)
			}
		case "k":
			if n == 0 || r.K == 0 {
				return bad("%s takes no %s passages", name, value)
			}
			r.K = n
		case "best":
			if n < 2 || r.K == 0 {
				return bad("%s takes no best of %s passages", name, value)
			}
			r.Best = n
		case "sink":
			r.Sink = int32(n)
		default:
			return bad("%q is none of %s", option, rowOptions)
		}
	}
	if r.Best > 0 && (r.K > 1 || r.Random) {
		return bad("the best of %d passages is one, and of those that are found", r.Best)
	}
	return r, nil
}

// ParseRows reads rows, each at most once.
func ParseRows(names []string, sink int32) ([]Row, error) {
	var rows []Row
	for _, name := range names {
		r, err := ParseRow(name, sink)
		if err != nil {
			return nil, err
		}
		if slices.Contains(rows, r) {
			return nil, fmt.Errorf("row %s is there twice", r)
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, errors.New("no row")
	}
	return rows, nil
}

// Branches returns how many contexts a stride has whose probabilities are mixed.
func (r Row) Branches() int {
	if r.Placement.SideBySide {
		return 1
	}
	return max(1, r.K)
}

// String returns what ParseRow reads, options that are the placement's own left
// out: one name a row.
func (r Row) String() string {
	name := r.Placement.Name
	if own, err := placement.Parse(name); err == nil && r.Placement.Echo != own.Echo {
		name += fmt.Sprintf(":echo=%s", placement.Echo(r.Placement.Echo))
	}
	if r.Placement.Apart > 0 {
		name += fmt.Sprintf(":apart=%d", r.Placement.Apart)
	}
	if r.Placement.Reserve > 0 {
		name += fmt.Sprintf(":reserve=%d", r.Placement.Reserve)
	}
	if r.K > 1 {
		name += fmt.Sprintf(":k=%d", r.K)
	}
	if r.Best > 0 {
		name += fmt.Sprintf(":best=%d", r.Best)
	}
	if r.Random {
		name += ":random"
	}
	if r.Sink >= 0 {
		name += fmt.Sprintf(":sink=%d", r.Sink)
	}
	if r.Adapter != "" {
		name += ":adapter=" + r.Adapter
	}
	return name
}

// AdapterName reports whether rows can name an adapter so.
func AdapterName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool {
		return !(c == '-' || c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
	}) < 0
}

// Pair names two rows to compare.
type Pair struct{ A, B Row }

// ParsePair reads two of the rows, "A,B".
func ParsePair(s string, rows []Row, sink int32) (Pair, error) {
	names := strings.Split(s, ",")
	if len(names) != 2 {
		return Pair{}, fmt.Errorf("%q names %d rows: give two, A,B", s, len(names))
	}
	pair, err := ParseRows(names, sink)
	if err != nil {
		return Pair{}, err
	}
	for _, r := range pair {
		if !slices.Contains(rows, r) {
			return Pair{}, fmt.Errorf("%s is not among the rows", r)
		}
	}
	return Pair{pair[0], pair[1]}, nil
}

// AgainstNone pairs each row with the row none of the same sink and adapter, or else of
// none, if there is one.
func AgainstNone(rows []Row) []Pair {
	var pairs []Pair
	for _, r := range rows {
		none := Row{Placement: placement.None, Sink: r.Sink, Adapter: r.Adapter}
		if !slices.Contains(rows, none) {
			none.Adapter = ""
		}
		if r != none && slices.Contains(rows, none) {
			pairs = append(pairs, Pair{r, none})
		}
	}
	return pairs
}
