package eval

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/placement"
)

// QARow is a row of the table of answers: how passages reach a chat.
type QARow struct {
	Row
	// Pasted passages are plain text in front of the question, in the user's message:
	// what a program does that has a model without evidence.
	Pasted bool
	// Left says that pasted passages stay in the conversation when their turn has ended,
	// and are not pasted again.
	Left bool
	// What the name says; else each is as in `flashback ask`.
	NamesK, NamesEcho, NamesApart bool
	Stride                        int // tokens from one look-up to the next; 0: not said

	name string
}

// What only rows that are pasted are called.
const (
	pasted = "pasted"
	left   = "left"
)

// ParseQARow reads what ParseRow does of a chat's rows, besides "pasted" in place of a
// placement, and the options stride=N and, of pasted ones, left.
func ParseQARow(s string) (QARow, error) {
	r := QARow{name: s}
	bad := func(format string, args ...any) (QARow, error) {
		return QARow{}, fmt.Errorf("row %q: %s", s, fmt.Sprintf(format, args...))
	}
	var options []string // those of ParseRow, behind the placement
	for i, option := range strings.Split(s, ":") {
		key, value, _ := strings.Cut(option, "=")
		switch {
		case i == 0 && option == pasted:
			r.Pasted, option = true, placement.Prepend.Name // any that takes passages
		case i > 0 && key == "stride":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return bad("%q is no number of tokens", option)
			}
			r.Stride = n
			continue
		case i > 0 && option == left && r.Pasted:
			r.Left = true
			continue
		}
		r.NamesK = r.NamesK || key == "k"
		r.NamesEcho = r.NamesEcho || key == "echo"
		r.NamesApart = r.NamesApart || key == "apart"
		options = append(options, option)
	}
	row, err := parseRow(strings.Join(options, ":"), -1, placement.ParseChat)
	if err != nil {
		return bad("%v", strings.TrimPrefix(err.Error(), fmt.Sprintf("row %q: ", strings.Join(options, ":"))))
	}
	r.Row = row
	switch {
	case r.Sink >= 0:
		return bad("a chat begins with its template's token, so no sink stands before it")
	case r.Random:
		return bad("a chat takes the best passages, none at random")
	case r.Best > 0:
		return bad("which of several passages predicts best is known of a text that is there, not of an answer")
	case r.Placement.Reserve > 0:
		return bad("--reserve says where texts start, for all rows")
	case r.Pasted && (r.NamesEcho || r.NamesApart || r.Stride > 0):
		return bad("pasted passages are looked up once and are no evidence: it takes k=N and adapter=NAME")
	case r.K == 0 && r.Stride > 0:
		return bad("nothing is looked up, so it has no stride")
	}
	return r, nil
}

// ParseQARows reads rows, each at most once.
func ParseQARows(names []string) ([]QARow, error) {
	var rows []QARow
	for _, name := range names {
		r, err := ParseQARow(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(rows, func(o QARow) bool { o.name = r.name; return o == r }) {
			return nil, fmt.Errorf("row %s is there twice", r)
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, errors.New("no row")
	}
	return rows, nil
}

// String returns the row's name, as it was read.
func (r QARow) String() string { return r.name }
