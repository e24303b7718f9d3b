package pdf

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// line is a run of text on one level.
type line struct {
	text   string
	box    box  // zero: nobody knows where it stands
	hyphen bool // the last word goes on in the next line
}

// beside returns the line that l and r, right of it, make together.
func (l line) beside(r line) line {
	return line{text: l.text + " " + r.text, box: l.box.join(r.box), hyphen: r.hyphen}
}

// text puts the lines together in the order in which they are read: rows of a table
// from left to right, a blank line between paragraphs that stand apart, and the
// halves of words that were cut at a line's end joined.
func (p page) text(words vocabulary) string {
	lines := joinRows(p.lines)
	pitch := usualPitch(lines)
	var b strings.Builder
	for i, l := range lines {
		b.WriteString(l.text)
		if i+1 == len(lines) {
			break
		}
		next := lines[i+1]
		switch {
		case l.hyphen:
			b.WriteString(words.hyphen(l.text, next.text))
		case apart(l.box, next.box, pitch):
			b.WriteString("\n\n")
		default:
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// joinRows joins lines that are cells of one row. A program may draw a table by
// rows, and then the cells follow each other, or by columns: then each line of a
// column has its row in the column before.
func joinRows(lines []line) []line {
	var done, table []line
	for column := range columns(joinCells(lines)) {
		if besides(table, column) {
			table = addColumn(table, column)
			continue
		}
		done = append(done, table...)
		table = column
	}
	return append(done, table...)
}

// joinCells joins lines with those that follow them to the right on one level.
func joinCells(lines []line) []line {
	var joined []line
	for _, l := range lines {
		if n := len(joined); n > 0 && rightOf(joined[n-1], l) {
			joined[n-1] = joined[n-1].beside(l)
			continue
		}
		joined = append(joined, l)
	}
	return joined
}

// columns yields the runs of lines that stand one below the other.
func columns(lines []line) func(yield func([]line) bool) {
	return func(yield func([]line) bool) {
		for len(lines) > 0 {
			n := 1
			for n < len(lines) && below(lines[n-1], lines[n]) {
				n++
			}
			if !yield(slices.Clone(lines[:n])) {
				return
			}
			lines = lines[n:]
		}
	}
}

// below reports whether b is the next line of a column that a belongs to.
func below(a, b line) bool {
	return a.box != (box{}) && b.box != (box{}) && b.box.top < a.box.top && !a.box.level(b.box) &&
		b.box.left < a.box.right && b.box.right > a.box.left
}

// besides reports whether column is one of a table's, right of what is there of it.
// Columns of running text stand side by side too, but are read one after the other:
// their lines are long.
func besides(table, column []line) bool {
	if len(table) == 0 || table[0].box == (box{}) || column[0].box == (box{}) {
		return false
	}
	if len(table) < 2 || len(column) < 2 || usualLength(column) > maxCell {
		return false
	}
	found := 0
	for _, c := range column {
		if slices.ContainsFunc(table, func(t line) bool { return rightOf(t, c) }) {
			found++
		}
	}
	return found*5 >= len(column)*4
}

// maxCell is the length of a cell, in characters; a line of a column of text has more.
const maxCell = 24

// rightOf reports whether b stands right of a on one level.
func rightOf(a, b line) bool { return b.box.left >= a.box.right && a.box.level(b.box) }

// usualLength returns the middle one of the lines' lengths in characters.
func usualLength(lines []line) int {
	lengths := make([]int, len(lines))
	for i, l := range lines {
		lengths[i] = utf8.RuneCountInString(l.text)
	}
	slices.Sort(lengths)
	return lengths[len(lengths)/2]
}

// addColumn appends each line of column to its row; one without a row, such as a
// cell's second line, gets its own, in its place.
func addColumn(table, column []line) []line {
	for _, c := range column {
		row := slices.IndexFunc(table, func(t line) bool { return rightOf(t, c) })
		if row < 0 {
			at := slices.IndexFunc(table, func(t line) bool { return t.box.top < c.box.top })
			if at < 0 {
				at = len(table)
			}
			table = slices.Insert(table, at, c)
			continue
		}
		table[row] = table[row].beside(c)
	}
	return table
}

// usualPitch returns the middle one of the distances between lines; 0 if unknown.
func usualPitch(lines []line) float64 {
	var all []float64
	for i := 1; i < len(lines); i++ {
		if below(lines[i-1], lines[i]) {
			all = append(all, lines[i-1].box.bottom-lines[i].box.bottom)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// apart reports whether there is more than a line's usual distance between two.
func apart(a, b box, pitch float64) bool {
	if pitch == 0 || a == (box{}) || b == (box{}) {
		return false
	}
	return a.bottom-b.bottom > 1.4*pitch
}

// addDrawn returns all lines of a page, which begin with its own; what annotations
// add comes last, and is put where it stands.
func addDrawn(own, all []line) []line {
	n := 0
	for n < len(own) && n < len(all) && own[n] == all[n] {
		n++
	}
	return addColumn(joinCells(all[:n]), all[n:])
}
