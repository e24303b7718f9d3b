package corpus

import (
	"fmt"
	"os"
	"strings"

	"github.com/niklasfasching/go-org/org"
)

// parseOrg reads Org by way of the HTML that it stands for. Files that it includes
// are not read.
func parseOrg(f file) (doc Document, err error) {
	defer func() { // the library is not made for hostile files
		if p := recover(); p != nil {
			doc, err = Document{}, fmt.Errorf("not readable Org: %v", p)
		}
	}()
	doc, lost := f.text()
	if doc.Text == "" {
		return doc, lost
	}
	settings := org.New().Silent()
	settings.ReadFile = func(string) ([]byte, error) { return nil, os.ErrNotExist }
	settings.DefaultSettings["OPTIONS"] = "toc:nil <:t e:t f:t pri:nil todo:t tags:nil title:nil ealb:nil"
	parsed := settings.Parse(strings.NewReader(doc.Text), f.name)
	writer := org.NewHTMLWriter()
	writer.TopLevelHLevel = 1
	page, err := parsed.Write(writer)
	if err != nil {
		return doc, err
	}
	doc.Title = oneLine(parsed.Get("TITLE"))
	_, doc.Text = readPage(page)
	return doc, lost
}
