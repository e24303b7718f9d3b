package office

import (
	"bytes"
	"fmt"

	"github.com/xuri/excelize/v2"
)

// XLSX reads a workbook of Excel, each sheet under a heading of its name: its cells
// as they are shown, a row a line, each after its column's name if the first row
// holds names.
func XLSX(data []byte) (text Text, err error) {
	defer func() { // the library is not made for hostile files
		if p := recover(); p != nil {
			err = fmt.Errorf("not a readable .xlsx file: %v", p)
		}
	}()
	a, err := Open(data, ".xlsx")
	if err != nil {
		return Text{}, err
	}
	_, title, err := a.mainPart("")
	if err != nil {
		return Text{}, err
	}
	book, err := excelize.OpenReader(bytes.NewReader(data), excelize.Options{UnzipSizeLimit: MaxSize, UnzipXMLSizeLimit: MaxSize})
	if err != nil {
		return Text{}, fmt.Errorf("not a readable .xlsx file: %w", err)
	}
	defer book.Close()
	var w writer
	for _, name := range book.GetSheetList() {
		err = part(err, readSheet(book, name, &w), "sheet "+name)
	}
	return w.text(title), err
}

func readSheet(book *excelize.File, name string, w *writer) error {
	rows, err := book.Rows(name)
	if err != nil {
		return err
	}
	defer rows.Close()
	s := sheet{w: w, name: name}
	defer s.end()
	for rows.Next() {
		cells, err := rows.Columns()
		if err != nil {
			return err
		}
		if err := s.row(cells); err != nil {
			return err
		}
	}
	return rows.Error()
}
