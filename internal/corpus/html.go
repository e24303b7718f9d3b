package corpus

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"
)

// unread are elements whose content is not the page's text.
var unread = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Noscript: true, atom.Template: true, atom.Svg: true,
	atom.Nav: true, atom.Footer: true, atom.Aside: true, atom.Form: true, atom.Button: true, atom.Select: true,
	atom.Iframe: true, atom.Head: true, atom.Textarea: true, atom.Object: true,
}

// blocks are elements that stand on lines of their own.
var blocks = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Section: true, atom.Article: true, atom.Main: true, atom.Header: true,
	atom.Li: true, atom.Ul: true, atom.Ol: true, atom.Dl: true, atom.Dt: true, atom.Dd: true,
	atom.Table: true, atom.Tr: true, atom.Blockquote: true, atom.Figure: true, atom.Figcaption: true,
	atom.Pre: true, atom.Hr: true, atom.Address: true, atom.Details: true, atom.Summary: true,
}

// parseHTML returns a page's title and readable text: what stands in <main> or a
// lone <article> if there is one, else in the body, without scripts, navigation
// and forms. Headings become '#' lines.
func parseHTML(f file) (Document, error) {
	var doc Document
	r, err := charset.NewReader(bytes.NewReader(f.data), "text/html")
	if err != nil {
		return doc, err
	}
	root, err := html.Parse(r)
	if err != nil {
		return doc, err
	}
	if t := find(root, atom.Title); t != nil {
		doc.Title = strings.ToValidUTF8(strings.Join(strings.Fields(inner(t)), " "), "\ufffd")
	}
	page := root
	if main := find(root, atom.Main); main != nil {
		page = main
	} else if article := find(root, atom.Article); article != nil && count(root, atom.Article) == 1 {
		page = article
	}
	var w textWriter
	w.node(page)
	doc.Text = strings.ToValidUTF8(strings.TrimSpace(w.b.String()), "\ufffd")
	return doc, nil
}

// find returns the first element of that kind, or nil.
func find(n *html.Node, a atom.Atom) *html.Node {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.DataAtom == a {
			return d
		}
	}
	return nil
}

func count(n *html.Node, a atom.Atom) int {
	total := 0
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.DataAtom == a {
			total++
		}
	}
	return total
}

// inner returns the text inside n as it stands.
func inner(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// textWriter joins inline text with single blanks and separates blocks.
type textWriter struct {
	b     strings.Builder
	gap   bool // a blank is due before the next word
	lines int  // line breaks at the end of b
}

func (w *textWriter) node(n *html.Node) {
	switch {
	case n.Type == html.TextNode:
		w.words(n.Data)
		return
	case n.Type == html.ElementNode && unread[n.DataAtom]:
		return
	case n.Type == html.ElementNode && n.DataAtom == atom.Br:
		w.breakLine(1)
		return
	case n.Type == html.ElementNode && n.DataAtom == atom.Pre:
		w.breakLine(2)
		w.verbatim(inner(n))
		w.breakLine(2)
		return
	}
	level := 0
	if n.Type == html.ElementNode && len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
		level = int(n.Data[1] - '0')
	}
	block := n.Type == html.ElementNode && blocks[n.DataAtom]
	switch {
	case level > 0:
		w.breakLine(2)
		w.words(strings.Repeat("#", level) + " ")
	case block && (n.DataAtom == atom.Li || n.DataAtom == atom.Tr):
		w.breakLine(1)
	case block:
		w.breakLine(2)
	case n.Type == html.ElementNode && (n.DataAtom == atom.Td || n.DataAtom == atom.Th):
		w.gap = true
	}
	for c := range n.ChildNodes() {
		w.node(c)
	}
	switch {
	case level > 0 || block && n.DataAtom != atom.Li && n.DataAtom != atom.Tr:
		w.breakLine(2)
	case block:
		w.breakLine(1)
	}
}

func (w *textWriter) words(s string) {
	if s != "" && isBlank(s[0]) {
		w.gap = true
	}
	for f := range strings.FieldsSeq(s) {
		if w.gap && w.lines == 0 && w.b.Len() > 0 {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(f)
		w.lines, w.gap = 0, true
	}
	w.gap = s != "" && isBlank(s[len(s)-1])
}

func (w *textWriter) verbatim(s string) {
	w.b.WriteString(strings.Trim(s, "\n"))
	w.lines, w.gap = 0, false
}

// breakLine makes b end with at least n line breaks, unless it is empty.
func (w *textWriter) breakLine(n int) {
	w.gap = false
	for ; w.b.Len() > 0 && w.lines < n; w.lines++ {
		w.b.WriteByte('\n')
	}
}
