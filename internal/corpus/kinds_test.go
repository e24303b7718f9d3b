package corpus

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// kindCase is a file and what is right for it: its title and text, or for records
// each one's id, title and text, and what is said of what cannot be read.
type kindCase struct {
	name, data string
	title      string
	text       string
	broken     string
}

func checkKinds(t *testing.T, cases []kindCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var titles, texts, broken []string
			kind, known := KindOf(tc.name)
			if !known {
				t.Fatal("an unknown kind")
			}
			kind.parse(strings.NewReader(tc.data), tc.name, tc.name, DefaultFields, func(d Document, err error) bool {
				if err != nil {
					broken = append(broken, err.Error())
					return true
				}
				titles, texts = append(titles, d.Title), append(texts, d.Text)
				return true
			})
			if got := strings.Join(titles, " / "); got != tc.title {
				t.Errorf("title %q, want %q", got, tc.title)
			}
			if got := strings.Join(texts, " / "); got != tc.text {
				t.Errorf("got  %q\nwant %q", got, tc.text)
			}
			if got := strings.Join(broken, "; "); tc.broken == "" && got != "" || !strings.Contains(got, tc.broken) {
				t.Errorf("broken: %q, want %q", got, tc.broken)
			}
		})
	}
}

func TestHTML(t *testing.T) {
	const story = "<p>The mayor opened the bridge on Tuesday with a speech.</p>"
	checkKinds(t, []kindCase{
		{"form.html", "<title>Intranet</title><form><h1>Rules</h1><p>Leave.</p><button>Send</button></form>", "Intranet", "# Rules\n\nLeave.", ""},
		{"empty.html", "<main id=root></main><div>" + story + "</div>", "empty.html", "The mayor opened the bridge on Tuesday with a speech.", ""},
		{"teaser.html", "<h1>Main</h1>" + story + "<article>Subscribe</article>", "Main", "# Main\n\nThe mayor opened the bridge on Tuesday with a speech.\n\nSubscribe", ""},
		{"teasermain.html", story + story + "<main>Subscribe</main>", "teasermain.html", "The mayor opened the bridge on Tuesday with a speech.\n\nThe mayor opened the bridge on Tuesday with a speech.\n\nSubscribe", ""},
		{"mains.html", "<div>menu</div><main><p>Newts.</p></main><div role=main><p>Toads.</p></div>", "mains.html", "Newts.\n\nToads.", ""},
		{"aside.html", "<main><h1>Install</h1><aside><p>Never unplug it.</p></aside></main><aside><a href=x>One</a> <a href=y>Two</a></aside>", "Install", "# Install\n\nNever unplug it.", ""},
		{"footer.html", "<p>Body.</p><footer><a>Imprint</a> <a>Privacy</a></footer><footer>Open from nine to five.</footer>", "footer.html", "Body.\n\nOpen from nine to five.", ""},
		{"pre.html", "<pre>\na<br>b<br/>  c</pre><pre><div>d</div><div>e</div></pre><pre># no heading\nx</pre>", "pre.html", "a\nb\n  c\n\nd\ne\n\n```\n# no heading\nx\n```", ""},
		{"noscript.html", "<noscript><p>About otters.</p></noscript>", "noscript.html", "About otters.", ""},
		{"script.html", "<p>A page that works with scripts.</p><noscript>Turn them on</noscript>", "script.html", "A page that works with scripts.", ""},
		{"nav.html", "<nav><ul><li><a>One</a><li><a>Two</a></ul></nav>", "nav.html", "One\nTwo", ""},
		{"hidden.html", "<p>Shown.<p hidden>a<p style='Display : none'>b<span aria-hidden=true>c</span><template>d</template><script>e</script><style>f</style><dialog>g</dialog><dialog open>Open.</dialog><!-- h -->", "hidden.html", "Shown.\n\nOpen.", ""},
		{"table.html", "<table><caption>Prices</caption><tr><th>Item<th>Price</tr><tr><td>Nut<td>3 <b>EUR</b></table>", "table.html", "Prices\n\nItem | Price\nNut | 3 EUR", ""},
		{"layout.html", "<table><tr><td><h2>Left</h2>a</td><td><p>b</p></td></tr></table>", "Left", "## Left\n\na\n\nb", ""},
		{"inputs.html", "<select><option>CZ<option>DE</select><textarea>Long</textarea><dl><dt>Term<dd>Meaning</dl><img alt='A pump'><a>link</a>", "inputs.html", "CZ, DE\n\nLong\n\nTerm\nMeaning\n\nA pump link", ""},
		{"countries.html", "<p>a<select>" + strings.Repeat("<option>x", 200) + "</select>", "countries.html", "a", ""},
		{"headings.html", "<h2><a>§</a>One<br>two <a href=#x>¶</a> <button>copy</button></h2><pre>a<button>copy</button></pre><h3><button>Asked?</button></h3><h1></h1><h4>C#</h4><h4>Go <a>#</a></h4>", "One two", "## One two\n\na\n\n### Asked?\n\n#### C#\n\n#### Go", ""},
		{"ruby.html", "<p><ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>", "ruby.html", "漢字", ""},
		{"deep.html", "<title>no</title>" + strings.Repeat("<div>", 2000) + "deep<script>x</script>", "deep.html", "deep", ""},
		{"late.html", "<head>" + strings.Repeat("<!-- x -->", 300) + "<meta charset=windows-1251></head><p>\xca\xeb\xfe\xf7", "late.html", "Ключ", ""},
		{"equiv.html", "<meta http-equiv=content-type content='text/html; charset=Shift_JIS'><p>\x8c\xae", "equiv.html", "鍵", ""},
		{"wrong.html", "<meta charset=iso-8859-1><p>Klíč", "wrong.html", "Klíč", ""},
		{"none.html", "<p>\xeb\xcc\xc0\xde \xcc\xc5\xd6\xc9\xd4 \xce\xc1 \xcb\xd5\xc8\xce\xc5", "none.html", "Ключ лежит на кухне", ""},
		{"mark.html", "\xff\xfe<\x00p\x00>\x00\xe9\x00", "mark.html", "é", ""},
		{"xml.xhtml", "<?xml version='1.0' encoding='iso-8859-2'?><html xmlns='http://www.w3.org/1999/xhtml'><p>\xf8</p></html>", "xml.xhtml", "ř", ""},
		{"broken.html", "<meta charset=euc-jp><p>a\xc3", "broken.html", "a\ufffd", "broken.html: line 1 holds bytes that are not euc-jp"},
		{"no.html", "\x00\x01\x02\x03", "", "", "binary file"},
	})
}

func TestMarkdown(t *testing.T) {
	checkKinds(t, []kindCase{
		{"folded.md", "---\ntitle: >\n  A folded\n  title\n# a comment\ntags: [a]\n---\nBody", "A folded title", "Body", ""},
		{"nearly.md", "---\ntitle: Go: the language # not YAML\nlayout: post\n---\nBody", "Go: the language", "Body", ""},
		{"toml.md", "+++\ntitle = \"T\" # x\n+++\nBody", "T", "Body", ""},
		{"rule.md", "---\n\nA rule opens.\n\n---\n\n# Head", "Head", "---\n\nA rule opens.\n\n---\n\n# Head", ""},
		{"open.md", "---\ntitle: never closed\n\nBody", "open.md", "---\ntitle: never closed\n\nBody", ""},
		{"prose.md", "---\nNote: this is prose\n\n---\nBody", "prose.md", "---\nNote: this is prose\n\n---\nBody", ""},
		{"setext.md", "Head\n====\n\nText\nof two lines\n---\n\nSub\n---\n- item\n---\n", "Head", "# Head\n\n\nText\nof two lines\n---\n\n## Sub\n\n- item\n---\n", ""},
		{"comment.md", "a<!-- b\n# c\n-->d\n```\n<!-- e -->\n# f\n```\n# G", "G", "a\n\nd\n```\n<!-- e -->\n# f\n```\n# G", ""},
		{"fence.md", "~~~~ x\n# a\n~~~\n# b\n~~~~\n# C #", "C", "~~~~ x\n# a\n~~~\n# b\n~~~~\n# C #", ""},
		{"picture.md", "![x](data:image/png;base64,AAAA/+==) y", "picture.md", "![x]() y", ""},
	})
}

// TestMarkdownLine says where the text after front matter stands in its file.
func TestMarkdownLine(t *testing.T) {
	kind, _ := KindOf("a.md")
	kind.parse(strings.NewReader("---\ntitle: x\n---\nBody"), "a.md", "a.md", DefaultFields, func(d Document, err error) bool {
		if err != nil || len(d.Places) != 1 || d.Places[0].Line != 4 {
			t.Errorf("%+v, %v", d.Places, err)
		}
		return true
	})
}

const orgFile = `#+TITLE: The title
Intro [[http://x][a link]].
* TODO First :tag:
:PROPERTIES:
:ID: 12
:END:
/Text/ here.
** Sub
- one
- two
# a comment
#+BEGIN_SRC sh
# code
#+END_SRC
| a | b |
|---+---|
| 1 | 2 |
#+INCLUDE: "/etc/hostname"
`

const rstFile = `=====
Title
=====

.. _target:

Intro :ref:` + "`a role <x>` and `a link <http://x>`_ and ``code``" + `.

Section
-------
.. note::
   Be careful.

.. code-block:: python
   :linenos:

   # comment
   x = 1

.. a comment
   goes on

Sub
~~~
Literal::

   # too

.. image:: a.png
   :alt: x

Other
-----
.. [1] A footnote.
`

func TestMarkup(t *testing.T) {
	checkKinds(t, []kindCase{
		{"a.org", orgFile, "The title", "Intro a link.\n\n# TODO First\n\nText here.\n\n## Sub\n\none\ntwo\n\n```\n# code\n```\n\na | b\n1 | 2", ""},
		{"field.rst", ":author: me\n:title: A  title\n\nText", "A title", ":author: me\n:title: A  title\n\nText", ""},
		{"a.rst", rstFile, "Title", "# Title\n\n\n\n\n\nIntro a role and a link and code.\n\n## Section\n\n\n   Be careful.\n\n\n\n```\n# comment\nx = 1\n```\n\n\n\n### Sub\n\nLiteral:\n```\n# too\n```\n\n\n\n## Other\n\n[1] A footnote.\n", ""},
	})
	if got := strings.Count(rstFile, "\n"); got != 34 {
		t.Fatalf("%d lines", got)
	}
}

const mailFile = "From: =?iso-8859-2?q?Ji=F8=ED?= <a@b.cz>\r\nTo: x@y\r\nSubject: Invoice =?utf-8?q?f=C3=BCr_M=C3=A4rz?=\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n" +
	"--B\r\nContent-Type: multipart/alternative; boundary=C\r\n\r\n--C\r\nContent-Type: text/html\r\n\r\n<p>as <b>HTML</b>\r\n--C\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw7xiZXJmw6RsbGln\r\n--C--\r\n" +
	"--B\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"bill.pdf\"\r\n\r\n%PDF\r\n" +
	"--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: c@d\r\nSubject: Inner\r\n\r\ninner text\r\n"

func TestMail(t *testing.T) {
	const want = "From: Jiří <a@b.cz>\nTo: x@y\nSubject: Invoice für März\n\nüberfällig\n\nAttachment: bill.pdf\nFrom: c@d\nSubject: Inner\n\ninner text"
	checkKinds(t, []kindCase{
		{"a.eml", mailFile + "--B--\r\n", "Invoice für März", want, ""},
		{"cut.eml", mailFile, "Invoice für März", want, "the message is cut off"},
		{"html.eml", "From: a@b\nSubject: S\nContent-Type: text/html; charset=windows-1252\n\n<p>caf\xe9", "S", "From: a@b\nSubject: S\n\ncafé", ""},
		{"quoted.eml", "From a@b Mon\nSubject: S\nContent-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=koi8-r\n\n=EB=CC=C0=\n=DE", "S", "Subject: S\n\nКлюч", ""},
		{"deep.eml", strings.Repeat("Content-Type: message/rfc822\nSubject: x\n\n", 50), "x", strings.TrimSpace(strings.Repeat("Subject: x\n\n", 22)), "parts nest more than 20 deep"},
		{"no.eml", "no message\n", "", "", "not a mail message"},
	})
}

func TestNotebook(t *testing.T) {
	checkKinds(t, []kindCase{
		{"a.ipynb", `{"cells":[{"cell_type":"markdown","source":["# Study\n","of penguins ![x](data:image/png;base64,AAAA)"]},
			{"cell_type":"code","source":"# load\nx","outputs":[{"output_type":"stream","text":["\u001b[31m12\u001b[0m\n"]},{"output_type":"display_data","data":{"image/png":"AAAA","text/plain":"<Figure size 1x1>"}},
			{"output_type":"execute_result","data":{"text/html":["<b>"],"text/plain":["a b"]}},{"output_type":"error","ename":"E","evalue":"why"}]},{"cell_type":"code","source":[]}],
			"metadata":{"language_info":{"name":"python"}}}`, "Study", "# Study\nof penguins ![x]()\n\n```python\n# load\nx\n```\n\n12\n\na b\n\nE: why", ""},
		{"old.ipynb", `{"worksheets":[{"cells":[{"cell_type":"heading","level":2,"source":"Old"},{"cell_type":"code","input":["y"]}]}]}`, "Old", "## Old\n\n```\ny\n```", ""},
		{"no.ipynb", `[`, "", "", "not a notebook"},
	})
}

func TestJSON(t *testing.T) {
	checkKinds(t, []kindCase{
		{"object.json", `{"name":"pump","tags":["a","b"],"specs":{"power":250,"none":null,"on":true},"parts":[{"n":"bolt"},{"n":"nut"}],"v":[` + strings.Repeat("1,", 200) + `1],"img":"` + strings.Repeat("A", 500) + `"}`,
			"object.json", "name: pump\ntags: a, b\nspecs:\n  power: 250\n  on: true\nparts:\n\n  n: bolt\n\n  n: nut", ""},
		{"records.json", "[\n{\"title\":\"T\",\"text\":\"one\"},\n{\"id\":2}\n,{\"text\":\"three\"}\n]", "T / ", "one / three", `records.json:3: no field "text"`},
		{"cut.json", "[{\"text\":\"one\"},\n{\"te", "", "one", "cut.json:2: not JSON from here on"},
		{"lines.json", "{\"text\":\"one\"}\n{\"text\":\"two\"}\n", " / ", "one / two", ""},
		{"record.json", `{"title":"T","text":"one","n":1}`, "T", "one", ""},
		{"list.json", `[{"n":"x"},{"n":"y"}]`, "list.json", "n: x\n\nn: y", ""},
		{"comments.json", "{ // why\n}", "comments.json", "{ // why\n}", ""},
		{"deep.json", strings.Repeat("[", 5000), "deep.json", strings.Repeat("[", 5000), ""},
		{"bytes.json", "\x00\x01", "", "", "binary file"},
	})
}

func epub(t testing.TB, chapter string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, part := range [][2]string{
		{"mimetype", "application/epub+zip"},
		{"META-INF/container.xml", `<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>`},
		{"OPS/book.opf", `<package xmlns:dc="d"><metadata><dc:title>A book</dc:title></metadata><manifest><item id="a" href="c%201.xhtml"/><item id="b" href="c2.xhtml"/><item id="n" href="nav.xhtml" properties="nav"/><item id="x" href="no.xhtml"/></manifest>
			<spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/><itemref idref="a"/><itemref idref="x"/></spine></package>`},
		{"OPS/c 1.xhtml", chapter},
		{"OPS/c2.xhtml", "<h1>First</h1><p>Read first."},
		{"OPS/nav.xhtml", "<nav>contents</nav>"},
	} {
		w, err := z.Create(part[0])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, part[1])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEPUB(t *testing.T) {
	checkKinds(t, []kindCase{
		{"a.epub", string(epub(t, "<h1>Second</h1>")), "A book", "# First\n\nRead first.\n\n# Second", "OPS/no.xhtml is missing"},
		{"locked.epub", string(epub(t, "\x01\x02\x03\x04\xff")), "A book", "# First\n\nRead first.", "OPS/c 1.xhtml: it is encrypted"},
		{"cut.epub", string(epub(t, "")[:200]), "", "", "not a .epub file"},
	})
}

// TestPages says which slide a place of the text is on.
func TestPages(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("content.xml")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, `<x xmlns:draw="d" xmlns:text="t"><draw:page><text:p>one</text:p></draw:page><draw:page/><draw:page><text:p>three</text:p></draw:page></x>`)
	z.Close()
	kind, _ := KindOf("a.odp")
	kind.parse(&b, "a.odp", "a.odp", DefaultFields, func(d Document, err error) bool {
		if err != nil || fmt.Sprint(d.Places) != "[{0 [] 1 0} {5 [] 3 0}]" {
			t.Errorf("%v, %v", d.Places, err)
		}
		return true
	})
}

// TestDelimiter and TestEncoding try what the user says of files.
func TestDelimiter(t *testing.T) {
	fields := DefaultFields
	fields.Delimiter = '~'
	for _, name := range []string{"a.csv", "a.tsv"} {
		kind, _ := KindOf(name)
		var got []string
		kind.parse(strings.NewReader("id~text\n1~a,b;c\n"), name, name, fields, func(d Document, err error) bool {
			got = append(got, d.ID+"|"+d.Text)
			return true
		})
		if want := []string{"1|a,b;c"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, name := range []string{"a.txt", "a.md", "a.html", "a.csv", "a.jsonl", "a.json", "a.rst"} {
		data := "\xeb\xcc\xc0\xde"
		switch name {
		case "a.csv":
			data = "text\n" + data
		case "a.jsonl", "a.json":
			data = `{"text":"` + data + `"}`
		}
		for label, guessed := range map[string]bool{"koi8-r": false, "": true} {
			fields := DefaultFields
			fields.Encoding = label
			kind, _ := KindOf(name)
			kind.parse(strings.NewReader(data), name, name, fields, func(d Document, err error) bool {
				if err != nil || !strings.Contains(d.Text, "Ключ") || (d.Encoding == "koi8-r") != guessed {
					t.Errorf("%s as %q: %q, %q, %v", name, label, d.Text, d.Encoding, err)
				}
				return true
			})
		}
	}
}

// TestBadRecords reports each with its line and the fields that are there.
func TestBadRecords(t *testing.T) {
	kind, _ := KindOf("a.jsonl")
	n := 0
	kind.parse(strings.NewReader(strings.Repeat("{\"body\":\"x\",\"id\":1}\n", 20000)), "a.jsonl", "a.jsonl", DefaultFields, func(d Document, err error) bool {
		n++
		if fe, ok := err.(*FileError); !ok || fe.Line != n || !slices.Equal(fe.Fields, []string{"body", "id"}) {
			t.Fatalf("record %d: %v", n, err)
		}
		return true
	})
	if n != 20000 {
		t.Errorf("%d errors", n)
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		for _, ext := range k.Extensions {
			if seen[ext] || ext != strings.ToLower(ext) || ext[0] != '.' {
				t.Errorf("extension %q of %s", ext, k.Name)
			}
			seen[ext] = true
		}
		if k.Name == "" || k.Kept == "" || k.parse == nil {
			t.Errorf("%+v", k)
		}
	}
	if k, known := KindOf("dir.pdf/A.DOCX"); !known || k.Extensions[0] != ".docx" {
		t.Errorf("%v, %v", k.Name, known)
	}
	if k, known := KindOf("Makefile"); known || k.Name != plain.Name {
		t.Errorf("%v, %v", k.Name, known)
	}
}

func FuzzKinds(f *testing.F) {
	names := []string{"f.txt", "f.md", "f.org", "f.rst", "f.eml", "f.ipynb", "f.json", "f.html", "f.epub"}
	for i, seed := range []string{
		"caf\xe9", "---\ntitle: >\n  a\n---\nb\n===\n<!-- c -->\n```\n", orgFile, rstFile, mailFile,
		`{"cells":[{"cell_type":"code","source":["# a"],"outputs":[{"text":"b"}]}]}`, `{"a":[1,{"b":"c"},[]],"text":null}`,
		"<main><table><tr><td>a<td>b</table></main><aside><a>x</a></aside>", string(epub(f, "<p>x")),
	} {
		f.Add(byte(i), []byte(seed))
	}
	f.Add(byte(6), []byte("[{\"text\":\"a\"},\n 1]"))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		name := names[int(which)%len(names)]
		kind, _ := KindOf(name)
		kind.parse(bytes.NewReader(data), "f", name, DefaultFields, func(d Document, err error) bool {
			if err == nil && (!utf8.ValidString(d.Text) || !utf8.ValidString(d.Title) || d.ID == "" || d.Source == "" || len(d.Text) > 100*len(data)+1000) {
				t.Errorf("%s: %+v", name, d)
			}
			return true
		})
	})
}
