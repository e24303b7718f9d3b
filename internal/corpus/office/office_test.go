package office

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
)

// pack makes an archive of parts, in order of their names.
func pack(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, parts[name])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rels writes a file of relations, each "id kind target".
func rels(relations ...string) string {
	var b strings.Builder
	b.WriteString(`<Relationships>`)
	for _, r := range relations {
		f := strings.Fields(r)
		fmt.Fprintf(&b, `<Relationship Id="%s" Type="http://schemas.example/%s" Target="%s"/>`, f[0], f[1], f[2])
	}
	return b.String() + `</Relationships>`
}

func p(inner string) string { return `<w:p><w:r>` + inner + `</w:r></w:p>` }

func styled(style, text string) string {
	return `<w:p><w:pPr><w:pStyle w:val="` + style + `"/></w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

func item(num, level, text string) string {
	return `<w:p><w:pPr><w:numPr><w:ilvl w:val="` + level + `"/><w:numId w:val="` + num + `"/></w:numPr></w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

// word makes a document whose main part has the name that Word Online gives it.
func word(t testing.TB, body string) []byte {
	return pack(t, map[string]string{
		"_rels/.rels":                   rels("r1 officeDocument word/document2.xml", "r2 core-properties /docProps/core.xml"),
		"docProps/core.xml":             `<c xmlns:dc="dc"><dc:title> A  title </dc:title></c>`,
		"word/document2.xml":            `<w:document xmlns:w="w" xmlns:mc="mc"><w:body>` + body + `</w:body></w:document>`,
		"word/_rels/document2.xml.rels": rels("s styles styles2.xml", "f footnotes footnotes.xml", "e endnotes endnotes.xml", "n numbering numbering.xml"),
		"word/styles2.xml": `<w:styles xmlns:w="w"><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
			<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="Level"/></w:style>
			<w:style w:styleId="Level"><w:name w:val="Level"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
			<w:style w:styleId="Ring"><w:name w:val="Ring"/><w:basedOn w:val="Ring"/></w:style>
			<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
			<w:style w:styleId="Heading1"><w:name w:val="Not one"/></w:style>
			<w:style w:styleId="Item"><w:name w:val="List Bullet"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style></w:styles>`,
		"word/footnotes.xml": `<w:footnotes xmlns:w="w"><w:footnote w:type="separator" w:id="0">` + p(`<w:t>line</w:t>`) + `</w:footnote><w:footnote w:id="2">` + p(`<w:t>Except on Sundays.</w:t>`) + `</w:footnote></w:footnotes>`,
		"word/endnotes.xml":  `<w:endnotes xmlns:w="w"><w:endnote w:id="2">` + p(`<w:t>At the end.</w:t>`) + `</w:endnote></w:endnotes>`,
		"word/numbering.xml": `<w:numbering xmlns:w="w"><w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
			<w:abstractNum w:abstractNumId="8"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/></w:lvl></w:abstractNum>
			<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="8"/></w:num></w:numbering>`,
		"word/header1.xml": `<w:hdr xmlns:w="w">` + p(`<w:t>header</w:t>`) + `</w:hdr>`,
	})
}

func TestDOCX(t *testing.T) {
	cell := func(text string) string { return `<w:tc>` + p(`<w:t>`+text+`</w:t>`) + `</w:tc>` }
	box := `<w:txbxContent>` + p(`<w:t>In the box.</w:t>`) + `</w:txbxContent>`
	for _, tc := range []struct{ name, body, want string }{
		{"paragraphs", p(`<w:t>One </w:t><w:t>two</w:t><w:br/><w:t>three</w:t><w:tab/><w:t>four</w:t>`) + p(``) + p(`<w:t>five</w:t>`), "One two\nthree\tfour\n\nfive"},
		{"headings", styled("berschrift1", "First") + styled("Mine", "Third") + styled("Titel", "Top") + styled("Heading1", "none") + styled("Ring", "ring"), "# First\n\n### Third\n\n# Top\n\nnone\n\nring"},
		{"outline", `<w:p><w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>By itself</w:t></w:r></w:p>`, "## By itself"},
		{"lists", styled("Item", "a") + item("1", "0", "b") + item("2", "0", "c") + item("2", "1", "d") + item("2", "1", "e") + item("2", "0", "f") + item("0", "0", "g"), "- a\n- b\n1. c\n  1. d\n  2. e\n2. f\n\ng"},
		{"table", `<w:tbl><w:tr>` + cell("a") + cell("b") + `</w:tr><w:tr><w:trPr><w:del/></w:trPr>` + cell("gone") + cell("too") + `</w:tr><w:tr>` + cell("c") + `<w:sdt><w:sdtContent>` + cell("d") + `</w:sdtContent></w:sdt></w:tr></w:tbl>` + p(`<w:t>after</w:t>`), "a | b\nc | d\n\nafter"},
		{"frame", `<w:tbl><w:tr><w:tc>` + styled("berschrift1", "Head") + p(`<w:t>a</w:t>`) + `</w:tc></w:tr></w:tbl>`, "# Head\n\na"},
		{"nested table", `<w:tbl><w:tr>` + cell("a") + `<w:tc><w:tbl><w:tr>` + cell("b") + cell("c") + `</w:tr></w:tbl></w:tc></w:tr></w:tbl>`, "a | b | c"},
		{"notes", p(`<w:t>Open daily</w:t><w:footnoteReference w:id="2"/><w:t>.</w:t><w:endnoteReference w:id="2"/>`) + p(`<w:t>Next</w:t><w:footnoteReference w:id="2"/>`), "Open daily.\n\n[footnote] Except on Sundays.\n\n[endnote] At the end.\n\nNext"},
		{"text box", p(`<w:t>Before. </w:t><mc:AlternateContent><mc:Choice><w:drawing>` + box + `</w:drawing></mc:Choice><mc:Fallback><w:pict>` + box + `</w:pict></mc:Fallback></mc:AlternateContent><w:t>After.</w:t>`), "Before. After.\n\nIn the box."},
		{"fallback alone", p(`<mc:AlternateContent><mc:Fallback><w:pict>` + box + `</w:pict></mc:Fallback></mc:AlternateContent>`), "In the box."},
		{"tracked changes", `<w:p><w:ins><w:r><w:t>Stays. </w:t></w:r></w:ins><w:del><w:r><w:delText>Goes.</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>Old place.</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>New place.</w:t></w:r></w:moveTo></w:p>`, "Stays. New place."},
		{"deleted end", `<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr><w:r><w:t>One </w:t></w:r></w:p>` + p(`<w:t>paragraph</w:t>`) + `<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr><w:r><w:t>last</w:t></w:r></w:p>`, "One paragraph\n\nlast"},
		{"characters", p(`<w:t>non</w:t><w:noBreakHyphen/><w:t>breaking soft</w:t><w:softHyphen/><w:t>ware</w:t>`), "non-breaking software"},
		{"hidden", `<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>shown</w:t></w:r></w:p>`, "shown"},
		{"wrapped", `<w:sdt><w:sdtPr><w:t>no</w:t></w:sdtPr><w:sdtContent><w:p><w:hyperlink><w:r><w:t>a </w:t></w:r></w:hyperlink><w:fldSimple><w:r><w:t>b</w:t></w:r></w:fldSimple><w:r><w:instrText>PAGE</w:instrText></w:r></w:p></w:sdtContent></w:sdt>`, "a b"},
		{"ruby", p(`<w:ruby><w:rt><w:r><w:t>かんじ</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>漢字</w:t></w:r></w:rubyBase></w:ruby>`), "漢字"},
	} {
		got, err := DOCX(word(t, tc.body))
		if err != nil || got.Body != tc.want || got.Title != "A title" {
			t.Errorf("%s: title %q, %q, %v; want %q", tc.name, got.Title, got.Body, err, tc.want)
		}
	}
}

const slideXML = `<p:sld xmlns:p="p" xmlns:a="a" xmlns:mc="mc"><p:cSld><p:spTree>
	<p:sp><p:nvSpPr><p:nvPr><p:ph type="body"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>Point </a:t></a:r><a:r><a:t>one</a:t></a:r></a:p><a:p><a:r><a:t>Point two</a:t></a:r></a:p></p:txBody></p:sp>
	<p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>Heading</a:t></a:r></a:p></p:txBody></p:sp>
	<p:sp><p:nvSpPr><p:nvPr><p:ph type="sldNum"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:fld><a:t>7</a:t></a:fld></a:p></p:txBody></p:sp>
	<p:graphicFrame><a:tbl><a:tr><a:tc><a:p><a:r><a:t>a</a:t></a:r></a:p></a:tc><a:tc><a:p><a:r><a:t>b</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>
	<mc:AlternateContent><mc:Choice><p:sp><a:p><a:r><a:t>once</a:t></a:r></a:p></p:sp></mc:Choice><mc:Fallback><p:sp><a:p><a:r><a:t>once</a:t></a:r></a:p></p:sp></mc:Fallback></mc:AlternateContent>
	</p:spTree></p:cSld></p:sld>`

func deck(t testing.TB) []byte {
	return pack(t, map[string]string{
		"_rels/.rels":                      rels("r1 officeDocument ppt/presentation.xml"),
		"docProps/core.xml":                `<c xmlns:dc="dc"><dc:title>PowerPoint Presentation</dc:title></c>`,
		"ppt/presentation.xml":             `<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst><p:sldId id="256" r:id="b"/><p:sldId id="257" r:id="c"/><p:sldId id="258" r:id="a"/></p:sldIdLst></p:presentation>`,
		"ppt/_rels/presentation.xml.rels":  rels("a slide slides/slide1.xml", "b slide slides/slide2.xml", "c slide slides/slide3.xml"),
		"ppt/slides/slide1.xml":            `<p:sld xmlns:p="p" xmlns:a="a"><p:sp><a:p><a:r><a:t>Last</a:t></a:r></a:p></p:sp></p:sld>`,
		"ppt/slides/slide2.xml":            slideXML,
		"ppt/slides/slide3.xml":            `<p:sld xmlns:p="p"/>`,
		"ppt/slides/_rels/slide2.xml.rels": rels("n notesSlide ../notesSlides/n.xml", "d diagramData ../diagrams/d.xml"),
		"ppt/notesSlides/n.xml":            `<p:notes xmlns:p="p" xmlns:a="a"><p:sp><p:ph type="body"/><a:p><a:r><a:t>Say hello</a:t></a:r></a:p></p:sp></p:notes>`,
		"ppt/diagrams/d.xml":               `<d xmlns:a="a"><a:p><a:r><a:t>Plan, do</a:t></a:r></a:p></d>`,
	})
}

func TestPPTX(t *testing.T) {
	got, err := PPTX(deck(t))
	want := "# Heading\n\nPoint one\nPoint two\n\na | b\n\nonce\n\nPlan, do\n\nNotes: Say hello\n\nLast"
	if err != nil || got.Body != want || got.Title != "" {
		t.Errorf("title %q, %q, %v", got.Title, got.Body, err)
	}
	if want := []Page{{0, 1}, {strings.Index(want, "Last"), 3}}; !slices.Equal(got.Pages, want) {
		t.Errorf("pages %v, want %v", got.Pages, want)
	}
}

func workbook(t testing.TB) []byte {
	f := excelize.NewFile()
	defer f.Close()
	percent, err := f.NewStyle(&excelize.Style{NumFmt: 10})
	if err != nil {
		t.Fatal(err)
	}
	for cell, v := range map[string]any{"A1": "Item", "B1": "Price", "A2": "Hammer", "B2": 0.125, "A4": "two\nlines", "C4": "beyond"} {
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
	}
	f.SetCellStyle("Sheet1", "B2", "B2", percent)
	f.NewSheet("Numbers")
	f.SetCellValue("Numbers", "B2", 1)
	f.SetCellValue("Numbers", "C2", true)
	f.NewSheet("Empty")
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestXLSX(t *testing.T) {
	got, err := XLSX(workbook(t))
	if want := "# Sheet1\n\nItem: Hammer | Price: 12.50%\nItem: two lines | beyond\n\n# Numbers\n\n1 | TRUE"; err != nil || got.Body != want {
		t.Errorf("%q, %v; want %q", got.Body, err, want)
	}
}

func openText(t testing.TB, body string) []byte {
	return pack(t, map[string]string{
		"mimetype": "application/vnd.oasis.opendocument.text",
		"meta.xml": `<m xmlns:dc="dc"><meta><dc:title>A title</dc:title></meta></m>`,
		"content.xml": `<office:document-content xmlns:office="o" xmlns:text="t" xmlns:table="b" xmlns:style="s" xmlns:draw="d" xmlns:presentation="p"><office:automatic-styles>
			<style:style style:name="T1"><style:text-properties text:display="none"/></style:style><style:style style:name="P1" style:parent-style-name="Title"/></office:automatic-styles>
			<office:body>` + body + `</office:body></office:document-content>`,
	})
}

func TestODF(t *testing.T) {
	for _, tc := range []struct{ name, kind, body, want string }{
		{"text", ".odt", `<text:h text:outline-level="2">Head</text:h><text:p>a<text:s text:c="2"/>b<text:tab/>c<text:line-break/>d</text:p>`, "## Head\n\na  b\tc\nd"},
		{"title", ".odt", `<text:p text:style-name="P1">Top</text:p>`, "# Top"},
		{"hidden", ".odt", `<text:p>shown <text:span text:style-name="T1">hidden</text:span><text:span text:style-name="T2">too</text:span></text:p>`, "shown too"},
		{"changes", ".odt", `<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p></text:deletion></text:changed-region></text:tracked-changes><text:p>stays<text:change/></text:p>`, "stays"},
		{"note", ".odt", `<text:p>word<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body><text:p>below</text:p></text:note-body></text:note> on</text:p>`, "word on\n\n[footnote] below"},
		{"list", ".odt", `<text:list><text:list-item><text:p>a</text:p><text:list><text:list-item><text:p>b</text:p></text:list-item></text:list></text:list-item></text:list>`, "- a\n  - b"},
		{"table", ".odt", `<table:table><table:table-row><table:table-cell><text:p>a</text:p><text:p>b</text:p></table:table-cell><table:table-cell><text:p>c</text:p></table:table-cell></table:table-row></table:table>`, "a b | c"},
		{"sheet", ".ods", `<table:table table:name="Stock"><table:table-row><table:table-cell><text:p>Item</text:p></table:table-cell><table:table-cell><text:p>Count</text:p></table:table-cell><table:table-cell table:number-columns-repeated="99999999"/></table:table-row>
			<table:table-row><table:table-cell><text:p>Bolt</text:p></table:table-cell><table:table-cell><text:p>12</text:p></table:table-cell></table:table-row><table:table-row table:number-rows-repeated="999999999"><table:table-cell/></table:table-row></table:table>`, "# Stock\n\nItem: Bolt | Count: 12"},
		{"titled sheet", ".ods", `<table:table><table:table-row><table:table-cell><text:p>Prices of May</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>Item</text:p></table:table-cell><table:table-cell><text:p>Price</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>Nut</text:p></table:table-cell><table:table-cell><text:p>3</text:p></table:table-cell></table:table-row></table:table>`, "Prices of May\nItem: Nut | Price: 3"},
		{"slides", ".odp", `<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Head</text:p></draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>body</text:p></draw:text-box></draw:frame><presentation:notes><draw:frame><draw:text-box><text:p>speak</text:p></draw:text-box></draw:frame></presentation:notes></draw:page><draw:page><text:p>two</text:p></draw:page>`, "# Head\n\nbody\n\nNotes: speak\n\ntwo"},
	} {
		got, err := ODF(openText(t, tc.body), tc.kind)
		if err != nil || got.Body != tc.want || got.Title != "A title" {
			t.Errorf("%s: title %q, %q, %v; want %q", tc.name, got.Title, got.Body, err, tc.want)
		}
		if tc.name == "slides" && !slices.Equal(got.Pages, []Page{{0, 1}, {len(got.Body) - 3, 2}}) {
			t.Errorf("pages %v", got.Pages)
		}
	}
}

func TestRTF(t *testing.T) {
	for _, tc := range []struct{ name, rtf, want string }{
		{"text", `{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0\fs24 The \b dragon\b0  sleeps under K\u246?ln.{\*\generator Word;}}`, "The dragon sleeps under Köln."},
		{"paragraphs", `{\rtf1 one\par two\line three\par{\pard four\par}}`, "one\n\ntwo\nthree\n\nfour"},
		{"heading", `{\rtf1{\stylesheet{\s0 Normal;}{\s3\outlinelevel1 Sub;}{\s4 heading 1;}}\pard\s4 Top\par\pard\s3 Head\par\pard body\par\pard\outlinelevel0 Own\par}`, "# Top\n\n## Head\n\nbody\n\n# Own"},
		{"code pages", `{\rtf1\ansi\ansicpg1251{\fonttbl{\f0\fcharset204 A;}{\f1\fcharset238 B;}{\f2\fcharset128 C;}}\f0 \'ea\'eb\'fe\'f7 \f1 \'f8\f2  \'8c\'ae}`, "ключ ř 鍵"},
		{"surrogates", `{\rtf1\uc1 a\u-10179?\u-8704?b\u8364\'80c}`, "a😀b€c"},
		{"characters", `{\rtf1 \ldblquote a\rdblquote\emdash b\~c\_d\-e\\\{\}}`, "“a”—b c-de\\{}"},
		{"table", `{\rtf1\trowd\pard\intbl a\par b\cell c\cell\row\trowd\intbl d\cell e\cell\row\pard after\par}`, "a b | c\nd | e\n\nafter"},
		{"left out", `{\rtf1{\header head}{\v hidden}{\deleted gone}{\pict 00ff}{\field{\*\fldinst PAGE}{\fldrslt 7}} shown{\*\unknown x}\bin3 {{{}`, "7 shown"},
		{"title", `{\rtf1{\info{\title The title}{\author me}}x}`, "x"},
	} {
		got, err := RTF([]byte(tc.rtf))
		if err != nil || got.Body != tc.want || tc.name == "title" && got.Title != "The title" {
			t.Errorf("%s: title %q, %q, %v; want %q", tc.name, got.Title, got.Body, err, tc.want)
		}
	}
}

// TestBroken checks that what is read of a broken file is kept, and what is wrong
// said.
func TestBroken(t *testing.T) {
	deep := strings.Repeat("<w:sdt>", 2000)
	cut := pack(t, map[string]string{"word/document.xml": `<w:document xmlns:w="w"><w:body>` + p(`<w:t>first</w:t>`) + `<w:p><w:t>sec`})
	whole := word(t, p(`<w:t>a</w:t>`))
	for _, tc := range []struct {
		name       string
		read       func([]byte) (Text, error)
		data       []byte
		body, says string
	}{
		{"no zip", DOCX, []byte("PK"), "", "not a .docx file"},
		{"cut archive", DOCX, whole[:len(whole)/2], "", "not a .docx file"},
		{"other archive", DOCX, pack(t, map[string]string{"a": "b"}), "", "word/document.xml is missing"},
		{"password", XLSX, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...."), "", "protected with a password"},
		{"cut XML", DOCX, cut, "first\n\nsec", "word/document.xml: "},
		{"deep", DOCX, word(t, deep), "", "elements nest more than 1000 deep"},
		{"entities", DOCX, pack(t, map[string]string{"word/document.xml": `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><w:document xmlns:w="w">` + p(`<w:t>&b;</w:t>`)}), "", "word/document.xml: "},
		{"no slides", PPTX, pack(t, map[string]string{"ppt/presentation.xml": `<p/>`}), "", ""},
		{"missing slide", PPTX, pack(t, map[string]string{"ppt/presentation.xml": `<p xmlns:r="r"><sldIdLst><x r:id="a"/></sldIdLst></p>`, "ppt/_rels/presentation.xml.rels": rels("a slide s.xml")}), "", "ppt/s.xml is missing"},
		{"no workbook", XLSX, pack(t, map[string]string{"a": "b"}), "", "not a readable .xlsx file"},
		{"deep groups", RTF, []byte(`{\rtf1 a` + strings.Repeat("{", 2000)), "a", "groups nest more than 1000 deep"},
		{"cut text", RTF, []byte(`{\rtf1 one\par tw`), "one\n\ntw", "the file is cut off"},
		{"no rich text", RTF, []byte(`rtf`), "", "not an .rtf file"},
	} {
		got, err := tc.read(tc.data)
		if got.Body != tc.body || (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %q, %v", tc.name, got.Body, err)
		}
	}
}

// TestBomb unpacks a part that is larger than a file may be.
func TestBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("it packs 256 MiB")
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range MaxSize>>20 + 1 {
		w.Write(block)
	}
	z.Close()
	if _, err := DOCX(b.Bytes()); err == nil || !strings.Contains(err.Error(), "it unpacks to more than 256 MiB") {
		t.Errorf("%d bytes are read: %v", b.Len(), err)
	}
}

func fuzz(f *testing.F, read func([]byte) (Text, error), seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := read(data)
		if !utf8.ValidString(text.Body) || !utf8.ValidString(text.Title) {
			t.Errorf("%+v, %v", text, err)
		}
		for _, p := range text.Pages {
			if p.Offset > len(text.Body) {
				t.Errorf("page %+v of %d bytes", p, len(text.Body))
			}
		}
	})
}

// fuzzPart fuzzes one part of an archive, which mutations of the archive do not
// reach behind its checksums.
func fuzzPart(f *testing.F, read func([]byte) (Text, error), name string, parts map[string]string) {
	f.Add([]byte(parts[name]))
	f.Fuzz(func(t *testing.T, data []byte) {
		mutated := maps.Clone(parts)
		mutated[name] = string(data)
		text, err := read(pack(t, mutated))
		if !utf8.ValidString(text.Body) {
			t.Errorf("%+v, %v", text, err)
		}
	})
}

func unpack(f *testing.F, data []byte) map[string]string {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		f.Fatal(err)
	}
	parts := map[string]string{}
	for _, file := range z.File {
		r, err := file.Open()
		if err != nil {
			f.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		parts[file.Name] = string(content)
	}
	return parts
}

func FuzzDOCX(f *testing.F) {
	fuzz(f, DOCX, word(f, p(`<w:t>a</w:t>`)), []byte("PK\x03\x04"))
}

func FuzzDOCXBody(f *testing.F) {
	body := styled("Mine", "head") + item("2", "1", "x") + `<w:tbl><w:tr><w:tc>` + p(`<w:t>a</w:t><w:footnoteReference w:id="2"/>`) + `</w:tc></w:tr></w:tbl>`
	fuzzPart(f, DOCX, "word/document2.xml", unpack(f, word(f, body)))
}

func FuzzDOCXStyles(f *testing.F) {
	fuzzPart(f, DOCX, "word/styles2.xml", unpack(f, word(f, styled("Mine", "head"))))
}

func FuzzXLSX(f *testing.F) { fuzz(f, XLSX, workbook(f)) }

func FuzzXLSXSheet(f *testing.F) {
	fuzzPart(f, XLSX, "xl/worksheets/sheet1.xml", unpack(f, workbook(f)))
}

func FuzzPPTX(f *testing.F) { fuzz(f, PPTX, deck(f)) }

func FuzzPPTXSlide(f *testing.F) {
	fuzzPart(f, PPTX, "ppt/slides/slide2.xml", unpack(f, deck(f)))
}

func FuzzODF(f *testing.F) {
	body := `<text:list><text:list-item><text:p>a<text:s text:c="9"/></text:p></text:list-item></text:list><table:table><table:table-row><table:table-cell table:number-columns-repeated="3"><text:p>b</text:p></table:table-cell></table:table-row></table:table>`
	fuzzPart(f, func(data []byte) (Text, error) { return ODF(data, ".ods") }, "content.xml", unpack(f, openText(f, body)))
}

func FuzzRTF(f *testing.F) {
	fuzz(f, RTF, []byte(`{\rtf1\ansicpg1250{\fonttbl{\f1\fcharset204 A;}}{\stylesheet{\s1 heading 1;}}\s1 \u246?\'e4\par\trowd a\cell\row{\v x}}`), []byte(`{\rtf1\bin99999999 `), []byte(`{\rtf1\u-10179?}`))
}
