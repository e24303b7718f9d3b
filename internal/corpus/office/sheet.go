package office

import (
	"strings"
	"unicode"
)

// sheet writes a table of a spreadsheet, a row a line, each cell after the name
// that its column has in the first row.
type sheet struct {
	w      *writer
	name   string // becomes a heading
	begun  bool   // header is known, or that there is none
	header []string
	rows   int
}

// row writes one; those without text are left out.
func (s *sheet) row(cells []string) error {
	if joinCells(cells) == "" { // which makes each one line
		return nil
	}
	if s.name != "" {
		s.w.heading(1, s.name)
		s.name = ""
	}
	if !s.begun && filled(cells) > 1 { // titles of the table may stand above
		s.begun = true
		if named(cells) {
			s.header = cells
			return nil
		}
	}
	s.rows++
	if s.header == nil {
		s.w.line(joinCells(cells))
		return s.w.room()
	}
	var labelled []string
	for i, cell := range cells {
		if cell == "" {
			continue
		}
		if i < len(s.header) && s.header[i] != "" {
			cell = s.header[i] + ": " + cell
		}
		labelled = append(labelled, cell)
	}
	s.w.line(strings.Join(labelled, " | "))
	return s.w.room()
}

// end writes the names of columns that no row followed.
func (s *sheet) end() {
	if s.rows == 0 {
		s.w.line(joinCells(s.header))
	}
}

// filled counts the cells that are not empty.
func filled(cells []string) int {
	n := 0
	for _, c := range cells {
		if c != "" {
			n++
		}
	}
	return n
}

// named reports whether a row reads as the names of two columns or more: words, no
// two alike.
func named(row []string) bool {
	seen := map[string]bool{}
	for _, cell := range row {
		if cell == "" {
			continue
		}
		if seen[cell] || len(cell) > 100 || strings.IndexFunc(cell, unicode.IsLetter) < 0 {
			return false
		}
		seen[cell] = true
	}
	return len(seen) > 1
}
