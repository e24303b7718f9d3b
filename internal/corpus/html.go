package corpus

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// parseHTML returns a page's title and readable text: what stands in its <main>, or
// its one <article>, if that is where the text is, else in the body, without
// scripts, navigation and what is hidden. Headings become '#' lines and a row of a
// table a line.
func parseHTML(f file) (Document, error) {
	text, lost := decodeHTML(f)
	doc := Document{Encoding: text.Encoding}
	doc.Title, doc.Text = readPage(text.String)
	return doc, lost
}

// readPage returns a page's title and text.
func readPage(page string) (title, text string) {
	root, err := html.ParseWithOptions(strings.NewReader(page), html.ParseOptionEnableScripting(false))
	if err != nil { // it nests deeper than the library reads
		return "", flatHTML(page)
	}
	if t := find(root, atom.Title); t != nil {
		title = oneLine(inner(t))
	}
	text = pageText(root, textWriter{})
	if find(root, atom.Noscript) != nil {
		if full := pageText(root, textWriter{noscript: true}); len(full) > 2*len(text) {
			text = full // of a page that says it to browsers without scripts
		}
	}
	if text == "" {
		text = pageText(root, textWriter{nav: true})
	}
	if part := mainText(root); len(part)*2 > len(text) || len(part)*5 > len(text) && len(part) > 250 && find(root, atom.Main) != nil {
		text = part
	}
	return title, text
}

// pageText returns what a writer makes of n.
func pageText(n *html.Node, w textWriter) string {
	w.node(n)
	return strings.TrimSpace(w.b.String())
}

// mainText returns what stands in all <main> of a page, or in its one <article>.
func mainText(root *html.Node) string {
	var mains, articles []*html.Node
	for d := range root.Descendants() {
		switch {
		case d.Type != html.ElementNode || within(d, atom.Main):
		case d.DataAtom == atom.Main || attribute(d, "role") == "main":
			mains = append(mains, d)
		case d.DataAtom == atom.Article:
			articles = append(articles, d)
		}
	}
	if len(mains) == 0 && len(articles) == 1 {
		mains = articles
	}
	var w textWriter
	for _, m := range mains {
		w.breakLine(2)
		w.node(m)
	}
	return strings.TrimSpace(w.b.String())
}

// decodeHTML decodes a page by what it says of itself, in any place of its head,
// unless its bytes tell otherwise.
func decodeHTML(f file) (charset.Text, error) {
	fields := f.fields
	if fields.Encoding == "" && !(utf8.Valid(f.data) && hasHigh(f.data)) {
		if label := declared(f.data); label != "" && !strings.HasPrefix(strings.ToLower(label), "utf-") {
			if _, err := charset.Lookup(label); err == nil {
				fields.Encoding = label
			}
		}
	}
	text, err := charset.Decode(f.data, fields.Encoding)
	if err != nil {
		return text, err
	}
	return text, text.Lost.Err()
}

func hasHigh(data []byte) bool {
	return bytes.ContainsFunc(data, func(r rune) bool { return r >= utf8.RuneSelf })
}

// declared returns the encoding that the head of a page names, or that its XML does.
func declared(data []byte) string {
	if decl, _, ok := bytes.Cut(data, []byte("?>")); ok && bytes.HasPrefix(decl, []byte("<?xml")) {
		if _, label, ok := bytes.Cut(decl, []byte("encoding=")); ok && len(label) > 2 {
			label = label[1:]
			if end := bytes.IndexAny(label, `"'`); end > 0 {
				return string(label[:end])
			}
		}
	}
	z := html.NewTokenizer(bytes.NewReader(data[:min(len(data), 1<<20)]))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.DataAtom {
			case atom.Body:
				return ""
			case atom.Meta:
				var content string
				for _, a := range t.Attr {
					switch a.Key {
					case "charset":
						return strings.TrimSpace(a.Val)
					case "content":
						content = a.Val
					}
				}
				if _, label, ok := strings.Cut(strings.ToLower(content), "charset="); ok {
					label, _, _ = strings.Cut(strings.Trim(label, ` "'`), ";")
					return strings.TrimSpace(label)
				}
			}
		case html.EndTagToken:
			if t := z.Token(); t.DataAtom == atom.Head {
				return ""
			}
		}
	}
}

// flatHTML returns the text between tags.
func flatHTML(page string) string {
	var w textWriter
	z := html.NewTokenizer(strings.NewReader(page))
	silent := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.TrimSpace(w.b.String())
		case html.TextToken:
			if silent == 0 {
				w.words(string(z.Text()))
			}
		case html.StartTagToken:
			if name, _ := z.TagName(); silentTag(name) {
				silent++
			} else if blocks[atom.Lookup(name)] {
				w.breakLine(1)
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); silentTag(name) && silent > 0 {
				silent--
			}
		}
	}
}

func silentTag(name []byte) bool {
	a := atom.Lookup(name)
	return a == atom.Script || a == atom.Style || a == atom.Title
}

// find returns the first HTML element of that kind, or nil.
func find(n *html.Node, a atom.Atom) *html.Node {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.DataAtom == a && d.Namespace == "" {
			return d
		}
	}
	return nil
}

// within reports whether n stands in an element of that kind.
func within(n *html.Node, a atom.Atom) bool {
	for p := range n.Ancestors() {
		if p.DataAtom == a {
			return true
		}
	}
	return false
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
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
