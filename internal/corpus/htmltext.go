package corpus

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// unread are elements whose content is not the page's text.
var unread = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Template: true, atom.Svg: true, atom.Head: true,
	atom.Iframe: true, atom.Object: true, atom.Canvas: true, atom.Audio: true, atom.Video: true, atom.Datalist: true,
	atom.Rt: true, atom.Rp: true, atom.Annotation: true, atom.AnnotationXml: true,
}

// blocks are elements that stand on lines of their own.
var blocks = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Section: true, atom.Article: true, atom.Main: true, atom.Header: true, atom.Footer: true,
	atom.Aside: true, atom.Nav: true, atom.Form: true, atom.Fieldset: true, atom.Legend: true, atom.Textarea: true, atom.Center: true,
	atom.Li: true, atom.Ul: true, atom.Ol: true, atom.Dl: true, atom.Dt: true, atom.Dd: true, atom.Caption: true,
	atom.Table: true, atom.Tr: true, atom.Blockquote: true, atom.Figure: true, atom.Figcaption: true,
	atom.Pre: true, atom.Hr: true, atom.Address: true, atom.Details: true, atom.Summary: true, atom.Noscript: true,
}

// lines are blocks that keep close to those beside them.
var lines = map[atom.Atom]bool{atom.Li: true, atom.Tr: true, atom.Dt: true, atom.Dd: true}

// maxOptions is up to how many options a list to choose from is read; longer ones
// are countries or years.
const maxOptions = 30

// textWriter joins inline text with single blanks and separates blocks.
type textWriter struct {
	b        strings.Builder
	gap      bool // a blank is due before the next word
	lines    int  // line breaks at the end of b
	noscript bool // read what is for browsers without scripts
	buttons  bool // read them
	nav      bool // read navigation, of a page that is nothing else
}

func (w *textWriter) node(n *html.Node) {
	if n.Type == html.TextNode {
		w.words(n.Data)
		return
	}
	if n.Type != html.ElementNode {
		w.children(n)
		return
	}
	if unread[n.DataAtom] || hidden(n) {
		return
	}
	level := headingLevel(n)
	switch {
	case level > 0:
		var inline textWriter
		if inline.children(n); inline.b.Len() == 0 {
			inline.buttons = true // a question that opens its answer
			inline.children(n)
		}
		if text := oneLine(headingText(inline.b.String())); text != "" {
			w.breakLine(2)
			w.words(strings.Repeat("#", level) + " ")
			w.words(text)
			w.breakLine(2)
		}
		return
	case n.DataAtom == atom.Noscript && !w.noscript, n.DataAtom == atom.Nav && !w.nav,
		n.DataAtom == atom.Button && !w.buttons,
		(n.DataAtom == atom.Aside || n.DataAtom == atom.Footer) && !w.nav && mostlyLinks(n):
		return
	case n.DataAtom == atom.Br:
		w.breakLine(1)
		return
	case n.DataAtom == atom.Img:
		w.gap = true
		w.words(attribute(n, "alt"))
		w.gap = true
		return
	case n.DataAtom == atom.Select:
		w.options(n)
		return
	case n.DataAtom == atom.Pre:
		w.breakLine(2)
		w.verbatim(preText(n))
		w.breakLine(2)
		return
	case n.DataAtom == atom.Table && isData(n):
		w.breakLine(2)
		w.table(n)
		w.breakLine(2)
		return
	case n.DataAtom == atom.Td || n.DataAtom == atom.Th:
		w.gap = true
	}
	gap := 0
	if blocks[n.DataAtom] {
		if gap = 2; lines[n.DataAtom] {
			gap = 1
		}
	}
	w.breakLine(gap)
	w.children(n)
	w.breakLine(gap)
}

func (w *textWriter) children(n *html.Node) {
	for c := range n.ChildNodes() {
		w.node(c)
	}
}

// hidden reports whether a browser does not show an element.
func hidden(n *html.Node) bool {
	if n.DataAtom == atom.Body || n.DataAtom == atom.Html {
		return false // a script shows it once the page is ready
	}
	for _, a := range n.Attr {
		switch a.Key {
		case "hidden":
			return a.Val != "until-found"
		case "aria-hidden":
			if a.Val == "true" {
				return true
			}
		case "style":
			style := strings.ToLower(strings.Join(strings.Fields(a.Val), ""))
			if strings.Contains(style, "display:none") || strings.Contains(style, "visibility:hidden") {
				return true
			}
		}
	}
	return n.DataAtom == atom.Dialog && !has(n, "open")
}

// headingLevel returns the level of a heading, 0 if n is none.
func headingLevel(n *html.Node) int {
	if n.Type == html.ElementNode && len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
		return int(n.Data[1] - '0')
	}
	return 0
}

// headingText drops the sign of a link to the heading itself.
func headingText(s string) string {
	for _, sign := range []string{"¶", "§", "🔗"} {
		s = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSpace(s), sign), sign)
	}
	return strings.TrimSuffix(strings.TrimSpace(s), " #")
}

// mostlyLinks reports whether more than half of an element's text is in links, as
// that of menus is.
func mostlyLinks(n *html.Node) bool {
	all, links := 0, 0
	for d := range n.Descendants() {
		if d.Type != html.TextNode {
			continue
		}
		size := len(strings.TrimSpace(d.Data))
		all += size
		for p := range d.Ancestors() {
			if p.DataAtom == atom.A {
				links += size
			}
			if p.DataAtom == atom.A || p == n {
				break
			}
		}
	}
	return links*2 > all
}

// options writes what there is to choose from on a line.
func (w *textWriter) options(n *html.Node) {
	var options []string
	for d := range n.Descendants() {
		if d.DataAtom == atom.Option {
			if text := oneLine(inner(d)); text != "" {
				options = append(options, text)
			}
		}
	}
	if len(options) <= maxOptions {
		w.breakLine(1)
		w.words(strings.Join(options, ", "))
		w.breakLine(1)
	}
}

// preText returns preformatted text with its lines, which <br> and blocks end too.
func preText(n *html.Node) string {
	var b strings.Builder
	fresh := true // at the beginning of a line
	var walk func(n *html.Node)
	write := func(s string) {
		if s != "" {
			b.WriteString(s)
			fresh = s[len(s)-1] == '\n'
		}
	}
	walk = func(n *html.Node) {
		for c := range n.ChildNodes() {
			block := c.Type == html.ElementNode && blocks[c.DataAtom]
			switch {
			case c.Type == html.TextNode:
				write(c.Data)
				continue
			case c.Type != html.ElementNode || unread[c.DataAtom] || c.DataAtom == atom.Button || hidden(c):
				continue
			case c.DataAtom == atom.Br:
				write("\n")
				continue
			case block && !fresh:
				write("\n")
			}
			walk(c)
			if block && !fresh {
				write("\n")
			}
		}
	}
	walk(n)
	return b.String()
}

// isData reports whether a table holds data rather than the layout of a page: rows
// of two cells or more, without tables, headings, lists and code in them.
func isData(table *html.Node) bool {
	wide := false
	for d := range table.Descendants() {
		if d.Type != html.ElementNode {
			continue
		}
		switch d.DataAtom {
		case atom.Table, atom.Pre, atom.Article, atom.Section, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Form, atom.Blockquote:
			return false
		case atom.Tr:
			cells := 0
			for c := range d.ChildNodes() {
				if c.DataAtom == atom.Td || c.DataAtom == atom.Th {
					cells++
				}
			}
			wide = wide || cells > 1
		}
	}
	return wide
}

// table writes each row on a line.
func (w *textWriter) table(n *html.Node) {
	for c := range n.ChildNodes() {
		if c.Type != html.ElementNode || hidden(c) {
			continue
		}
		switch c.DataAtom {
		case atom.Thead, atom.Tbody, atom.Tfoot:
			w.table(c)
		case atom.Tr:
			var cells []string
			for d := range c.ChildNodes() {
				if (d.DataAtom == atom.Td || d.DataAtom == atom.Th) && !hidden(d) {
					var cell textWriter
					cell.children(d)
					cells = append(cells, cell.b.String())
				}
			}
			w.breakLine(1)
			w.words(joinCells(cells))
			w.breakLine(1)
		default:
			w.node(c)
		}
	}
}

func (w *textWriter) words(s string) {
	if s == "" {
		return
	}
	first, _ := utf8.DecodeRuneInString(s)
	w.gap = w.gap || isSpace(first)
	for f := range strings.FieldsSeq(s) {
		if w.gap && w.lines == 0 && w.b.Len() > 0 {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(f)
		w.lines, w.gap = 0, true
	}
	last, _ := utf8.DecodeLastRuneInString(s)
	w.gap = isSpace(last)
}

// verbatim writes code. Lines of it that look like headings get a fence around them.
func (w *textWriter) verbatim(s string) {
	if s = strings.TrimRight(strings.Trim(s, "\n"), " \t\n"); strings.TrimSpace(s) == "" {
		return
	}
	if strings.HasPrefix(s, "# ") || strings.Contains(s, "\n# ") {
		s = "```\n" + s + "\n```"
	}
	w.b.WriteString(s)
	w.lines, w.gap = 0, false
}

// breakLine makes b end with at least n line breaks, unless it is empty.
func (w *textWriter) breakLine(n int) {
	if n > 0 {
		w.gap = false
	}
	for ; w.b.Len() > 0 && w.lines < n; w.lines++ {
		w.b.WriteByte('\n')
	}
}
