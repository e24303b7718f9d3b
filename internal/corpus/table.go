package corpus

import (
	"fmt"
	"slices"
	"strings"
)

// table tells what the columns of a file of records hold.
type table struct {
	id, title, text int // columns; negative: none
	header          []string
	named           bool // header holds names rather than a first row of data
}

func newTable(header []string, fields Fields) table {
	for i, h := range header {
		header[i] = strings.TrimSpace(h)
	}
	column := func(name string) int {
		if i := slices.Index(header, name); i >= 0 {
			return i
		}
		return slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(h, name) })
	}
	return table{
		id: column(fields.ID), title: column(fields.Title), text: column(fields.Text),
		header: header, named: names(header),
	}
}

// names reports whether a row reads as the names of columns: words, no two alike.
func names(row []string) bool {
	seen := map[string]bool{}
	words := 0
	for _, cell := range row {
		if cell == "" {
			continue
		}
		if seen[cell] || len(cell) > 100 || strings.IndexFunc(cell, isLetter) < 0 {
			return false
		}
		seen[cell] = true
		words++
	}
	return words > 0
}

// document makes a row one.
func (t *table) document(row []string) (Document, error) {
	cell := func(i int) string {
		if i < 0 || i >= len(row) {
			return ""
		}
		return row[i]
	}
	doc := Document{ID: cell(t.id), Title: cell(t.title), Text: cell(t.text)}
	switch {
	case t.text >= len(row):
		return doc, fmt.Errorf("%d columns, the text is column %d", len(row), t.text+1)
	case t.text < 0 && t.named:
		doc.Text = labelled(t.header, row, "\n")
	case t.text < 0:
		doc.Text = joinCells(row)
	}
	return doc, nil
}

// labelled writes the cells of a row that are not empty, each after its column's
// name.
func labelled(header, row []string, sep string) string {
	var b strings.Builder
	for i, cell := range row {
		cell = strings.TrimSpace(cell)
		if cell == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(sep)
		}
		if i < len(header) && header[i] != "" {
			b.WriteString(header[i] + ": ")
		}
		b.WriteString(cell)
	}
	return b.String()
}

// joinCells writes a table's row on one line; empty if no cell holds text.
func joinCells(row []string) string {
	cells := make([]string, len(row))
	empty := true
	for i, cell := range row {
		cells[i] = oneLine(cell)
		empty = empty && cells[i] == ""
	}
	if empty {
		return ""
	}
	return strings.Trim(strings.Join(cells, " | "), " |")
}

// oneLine puts single blanks for all runs of blanks and line ends.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func noField(name string) error {
	return fmt.Errorf("no field %q; name the field that holds the text", name)
}
