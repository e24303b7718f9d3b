package corpus

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
	"github.com/flashback-lm/flashback/internal/corpus/office"
)

// parseEPUB reads a book's chapters in the order of its spine.
func parseEPUB(f file) (Document, error) {
	var doc Document
	book, err := office.Open(f.data, ".epub")
	if err != nil {
		return doc, err
	}
	var container struct {
		Roots []struct {
			Path string `xml:"full-path,attr"`
		} `xml:"rootfiles>rootfile"`
	}
	if err := readXML(book, "META-INF/container.xml", &container); err != nil {
		return doc, err
	}
	if len(container.Roots) == 0 {
		return doc, errors.New("META-INF/container.xml names no book")
	}
	root := container.Roots[0].Path
	var opf struct {
		Title    string `xml:"metadata>title"`
		Manifest []struct {
			ID         string `xml:"id,attr"`
			Href       string `xml:"href,attr"`
			Properties string `xml:"properties,attr"`
		} `xml:"manifest>item"`
		Spine []struct {
			ID string `xml:"idref,attr"`
		} `xml:"spine>itemref"`
	}
	if err := readXML(book, root, &opf); err != nil {
		return doc, err
	}
	doc.Title = oneLine(opf.Title)
	parts := map[string]string{}
	for _, item := range opf.Manifest {
		if slices.Contains(strings.Fields(item.Properties), "nav") {
			continue // the table of contents
		}
		href, err := url.PathUnescape(item.Href)
		if err != nil {
			href = item.Href
		}
		parts[item.ID] = path.Join(path.Dir(root), href)
	}
	var text strings.Builder
	var broken []error
	for _, item := range opf.Spine {
		name, ok := parts[item.ID]
		if !ok {
			continue
		}
		delete(parts, item.ID) // once
		chapter, err := readChapter(book, name)
		if err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", name, err))
		}
		if chapter == "" {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\n\n")
		}
		text.WriteString(chapter)
	}
	doc.Text = text.String()
	return doc, errors.Join(broken...)
}

func readChapter(book *office.Archive, name string) (string, error) {
	data, err := book.Read(name)
	if err != nil && len(data) == 0 {
		return "", err
	}
	if charset.Binary(data) {
		return "", errors.New("it is encrypted, as books with copy protection are")
	}
	page, lost := decodeHTML(file{data: data})
	_, text := readPage(page.String)
	return text, errors.Join(err, lost)
}

func readXML(a *office.Archive, name string, v any) error {
	data, err := a.Read(name)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
