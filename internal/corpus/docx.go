package corpus

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// parseDOCX returns the text of a Word document: its paragraphs, tables row by
// row, and headings as '#' lines. The title is the document's property, else the
// first heading, else the file's name.
func parseDOCX(f file) (Document, error) {
	var doc Document
	archive, err := zip.NewReader(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil {
		return doc, fmt.Errorf("not a .docx file: %w", err)
	}
	body, err := zipMember(archive, "word/document.xml")
	if err != nil {
		return doc, err
	}
	if doc.Text, err = wordText(body); err != nil {
		return doc, err
	}
	if props, err := zipMember(archive, "docProps/core.xml"); err == nil {
		var core struct {
			Title string `xml:"title"`
		}
		if xml.Unmarshal(props, &core) == nil {
			doc.Title = strings.TrimSpace(core.Title)
		}
	}
	return doc, nil
}

// zipMember returns one file of an archive, of at most MaxFile bytes.
func zipMember(archive *zip.Reader, name string) ([]byte, error) {
	f, err := archive.Open(name)
	if err != nil {
		return nil, fmt.Errorf("not a .docx file: %s is missing", name)
	}
	defer f.Close()
	return readAll(f)
}

// wordText walks WordprocessingML. Elements: p paragraph, t text, tab, br and cr
// breaks, pStyle the paragraph's style, tc a table cell.
func wordText(data []byte) (string, error) {
	var out, para strings.Builder
	level, inText := 0, false
	dec := xml.NewDecoder(bytes.NewReader(data))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return strings.TrimSpace(out.String()), nil
		}
		if err != nil {
			return "", fmt.Errorf("word/document.xml: %w", err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "t":
				inText = true
			case "tab":
				para.WriteByte('\t')
			case "br", "cr":
				para.WriteByte('\n')
			case "pStyle":
				level = headingLevel(t)
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "t":
				inText = false
			case "p":
				if s := strings.TrimSpace(para.String()); s != "" {
					if level > 0 {
						out.WriteString(strings.Repeat("#", level) + " ")
					}
					out.WriteString(s + "\n\n")
				}
				para.Reset()
				level = 0
			}
		case xml.CharData:
			if inText {
				para.Write(t)
			}
		}
	}
}

// headingLevel reads styles such as "Heading2" and "Title"; 0 is none.
func headingLevel(e xml.StartElement) int {
	for _, a := range e.Attr {
		if a.Name.Local != "val" {
			continue
		}
		style := strings.ToLower(strings.ReplaceAll(a.Value, " ", ""))
		if style == "title" {
			return 1
		}
		if n, ok := strings.CutPrefix(style, "heading"); ok && len(n) == 1 && n[0] >= '1' && n[0] <= '6' {
			return int(n[0] - '0')
		}
	}
	return 0
}
