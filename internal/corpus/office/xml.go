package office

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// maxDepth bounds how deep elements nest, and with it the readers' recursion.
const maxDepth = 1000

// reader walks XML element by element.
type reader struct {
	dec   *xml.Decoder
	depth int
}

// parse calls root with the document's outermost element and a reader within it.
func parse(data []byte, root func(x *reader, e xml.StartElement) error) error {
	x := &reader{dec: xml.NewDecoder(bytes.NewReader(data))}
	x.dec.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		e, err := charset.Lookup(label)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}
	for {
		tok, err := x.dec.Token()
		if err == io.EOF {
			return errors.New("no XML")
		}
		if err != nil {
			return err
		}
		if e, ok := tok.(xml.StartElement); ok {
			return root(x, e)
		}
	}
}

// each reads to the end of the element that was begun. It calls text with what
// stands in it, and child, which has to read to the end of the element that it is
// called with; nil leaves them out.
func (x *reader) each(text func(string), child func(e xml.StartElement) error) error {
	for {
		tok, err := x.dec.Token()
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if child == nil {
				err = x.skip()
				break
			}
			if x.depth++; x.depth > maxDepth {
				return fmt.Errorf("elements nest more than %d deep", maxDepth)
			}
			err = child(t)
			x.depth--
		case xml.EndElement:
			return nil
		case xml.CharData:
			if text != nil {
				text(string(t))
			}
		}
		if err != nil {
			return err
		}
	}
}

// skip reads to the end of the element that was begun.
func (x *reader) skip() error { return x.dec.Skip() }

// inner reads to the end of the element and returns all text within it.
func (x *reader) inner() (string, error) {
	var b strings.Builder
	var child func(xml.StartElement) error
	write := func(s string) { b.WriteString(s) }
	child = func(xml.StartElement) error { return x.each(write, child) }
	err := x.each(write, child)
	return b.String(), err
}

// attr returns an attribute by its local name, empty if it is not there.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// on reports whether an element such as <w:vanish/> is set: it is unless its value
// says no.
func on(e xml.StartElement) bool {
	switch strings.ToLower(attr(e, "val")) {
	case "0", "false", "off", "none":
		return false
	}
	return true
}
