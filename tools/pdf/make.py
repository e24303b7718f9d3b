#!/usr/bin/env python3
"""Makes fifty PDFs with the programs that most come from: see README.md.

    make.py FOLDER

Beside each NAME.pdf lies NAME.words, the words that a reader of the page sees.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zlib

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream, String
from reportlab.pdfbase.pdfmetrics import stringWidth

out = os.path.abspath(sys.argv[1])
os.makedirs(out, exist_ok=True)
work = tempfile.mkdtemp()
here = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(15)
vocabulary = sorted(set(re.findall(r"\b[a-z]{2,}\b", open(os.path.join(here, "../../README.md")).read()))) + \
    "office flow affine efficient waffle shuffle AVATAR Toyota Wavelength profile fjord coefficient difficult".split()


def sentence():
    words = [rng.choice(vocabulary) for _ in range(rng.randint(6, 18))]
    words[0] = words[0].capitalize()
    return " ".join(words) + "."


def paragraph(n=6):
    return " ".join(sentence() for _ in range(n))


def prose(n=6):
    return [paragraph() for _ in range(n)]


def truth(name, *texts):
    with open(os.path.join(out, name + ".words"), "w") as f:
        f.write("\n".join(texts))


def run(*command, cwd=work):
    r = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    if r.returncode:
        print("failed:", " ".join(command), r.stdout.decode("utf8", "replace")[-800:], file=sys.stderr)
    return r.returncode == 0


rows = [("Item", "Price", "Stock", "Remark"), ("Hammer", "120", "7", "heavy"), ("Screwdriver", "85", "12", "with bits"),
        ("Pliers", "140", "3", "insulated"), ("Saw", "99", "41", "for wood"), ("Level", "210", "5", "long")]
table_text = "\n".join(" ".join(r) for r in rows)


# TeX.
def tex(name, body, *words, preamble="", cls="article", options="", engine="pdflatex"):
    source = "\\documentclass[%s]{%s}\n%s\n\\begin{document}\n%s\n\\end{document}\n" % (options, cls, preamble, body)
    open(os.path.join(work, name + ".tex"), "w").write(source)
    run(engine, "-interaction=batchmode", name + ".tex")
    if engine == "latex":
        run("dvips", "-q", name + ".dvi", "-o", name + ".ps")
        run("ps2pdf", name + ".ps", name + ".pdf")
    shutil.copy(os.path.join(work, name + ".pdf"), out)
    truth(name, *words)


def escaped(text):
    return text.replace("%", "\\%").replace("&", "\\&").replace("_", "\\_").replace("#", "\\#")


textable = "\\begin{tabular}{lrrp{4cm}}\n" + "\\\\\n".join(" & ".join(r) for r in rows) + "\\\\\n\\end{tabular}"
p = prose(); tex("tex-plain", "\n\n".join(p), *p)
p = prose(); tex("tex-t1", "\n\n".join(p), *p, preamble="\\usepackage[T1]{fontenc}\\usepackage{lmodern}")
p = prose(); tex("tex-cmsuper", "\n\n".join(p), *p, preamble="\\usepackage[T1]{fontenc}")
p = prose(12); tex("tex-twocolumn", "\n\n".join(p), *p, options="twocolumn")
p = prose(3); tex("tex-narrow", "\\parbox{5cm}{" + "\n\n".join(p) + "}", *p)
p = prose(2); tex("tex-table", p[0] + "\n\n" + textable + "\n\n" + p[1], *p, table_text)
p = prose(3); tex("tex-lists", "\\begin{itemize}" + "".join("\\item " + x for x in p) + "\\end{itemize}\\begin{enumerate}" + "".join("\\item " + x for x in p) + "\\end{enumerate}", *p, *p)
p = prose(2); f = sentence(); tex("tex-footnotes", p[0] + "\\footnote{" + f + "}\n\n" + p[1], *p, f)
accents = "Übermäßig große Bäume ärgern façade naïve élève Škoda"
tex("tex-accents-ot1", accents, accents)
tex("tex-accents-t1", accents, accents, preamble="\\usepackage[T1]{fontenc}\\usepackage{lmodern}")
p = prose(2); tex("tex-math", p[0] + " \\[ \\sum_{i=1}^{n} x_i^2 = \\alpha + \\beta \\] " + p[1], *p)
p = prose(2); tex("tex-links", "\\section{Overview}\n" + p[0] + " \\href{https://example.org}{linked words here}\n\\section{Outlook}\n" + p[1], *p, "Overview Outlook linked words here", preamble="\\usepackage{hyperref}\\hypersetup{pdftitle={A title of ours}}")
p = prose(4); tex("tex-microtype", "\n\n".join(p), *p, preamble="\\usepackage{microtype}\\usepackage{palatino}")
p = prose(3); tex("tex-book", "\\chapter{First}\n" + p[0] + "\\chapter{Second}\n" + p[1] + "\\chapter{Third}" + p[2], *p, "Chapter First Chapter Second Chapter Third", cls="book")
s = [sentence() for _ in range(4)]; tex("tex-beamer", "".join("\\begin{frame}{Frame of words}\n\\begin{itemize}\\item " + x + "\\end{itemize}\\end{frame}" for x in s), *s, "Frame of words " * 4, cls="beamer")
p = prose(3); tex("tex-dvips", "\n\n".join(p), *p, engine="latex")
p = prose(3); tex("xetex-dejavu", "\n\n".join(p + ["Привет мир большой Ελληνικά γράμματα"]), *p, "Привет мир большой Ελληνικά γράμματα", preamble="\\usepackage{fontspec}\\setmainfont{DejaVu Serif}", engine="xelatex")
p = prose(3); tex("xetex-liberation", "\n\n".join(p), *p, preamble="\\usepackage{fontspec}\\setmainfont{Liberation Serif}", engine="xelatex")
p = prose(1); tex("tex-form", p[0] + "\n\n\\begin{Form}\\TextField[name=n,value={Brunhilde Kaufmann}]{Name:}\\par\\TextField[name=t,value={Brno}]{Town:}\\end{Form}", *p, "Name Brunhilde Kaufmann Town Brno", preamble="\\usepackage{hyperref}")
words = sorted(rng.sample(vocabulary, 80)); tex("tex-index", "\\begin{multicols}{4}\\noindent " + "\\\\\n".join("%s, %d" % (w, i) for i, w in enumerate(words)) + "\\end{multicols}", *("%s %d" % (w, i) for i, w in enumerate(words)), preamble="\\usepackage{multicol}")
p = prose(2); tex("tex-landscape", p[0] + "\\begin{landscape}" + p[1] + "\n\n" + textable + "\\end{landscape}", *p, table_text, preamble="\\usepackage{pdflscape}")

# LibreOffice and Chromium.
head = "<!doctype html><meta charset=utf-8><title>%s</title><style>%s</style>"
htmltable = "<table border=1>" + "".join("<tr>" + "".join("<td>%s</td>" % c for c in r) + "</tr>" for r in rows) + "</table>"
pages = {}


def page(name, body, *words, style="", title="Made page"):
    pages[name] = (head % (title, style) + body, words)


def ps(paragraphs):
    return "".join("<p>%s</p>" % x for x in paragraphs)


p = prose(); page("plain", ps(p), *p)
p = prose(2); page("table", ps(p[:1]) + htmltable + ps(p[1:]), *p, table_text)
p = prose(8); page("columns", "<div class=c>" + ps(p) + "</div>", *p, style=".c{column-count:2}")
p = prose(3); page("justified", ps(p), *p, style="p{text-align:justify;hyphens:auto;width:300px}")
page("languages", "<p>Übermäßig große Bäume<p>Привет мир большой<p>Ελληνικά γράμματα<p dir=rtl>שלום עולם גדול<p dir=rtl>مرحبا بالعالم", "Übermäßig große Bäume", "Привет мир большой", "Ελληνικά γράμματα", "שלום עולם גדול", "مرحبا بالعالم")
code = "func main() {\n    fmt.Println(total_count, maxValue)\n    return nil\n}\n"
page("code", "<h1>Listing</h1><pre>" + code + "</pre>", "Listing", code)
p = prose(2); page("headings", "<h1>Main heading</h1>" + ps(p[:1]) + "<h2>Lower heading</h2><ul><li>first entry<li>second entry</ul>" + ps(p[1:]), *p, "Main heading Lower heading first entry second entry")

chromium = shutil.which("chromium") or "chromium-browser"
for name, (html, words) in pages.items():
    path = os.path.join(work, name + ".html")
    open(path, "w").write(html)
    run(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--print-to-pdf=" + os.path.join(out, "chromium-" + name + ".pdf"), "file://" + path)
    truth("chromium-" + name, *words)
p = prose(2)
extra = {"grid": ("<div style='display:grid;grid-template-columns:1fr 1fr'>" + "".join("<b>%s</b><i>%s</i>" % r[:2] for r in rows) + "</div>" + ps(p), (*p, *(" ".join(r[:2]) for r in rows))),
         "spaced": ("<p style='letter-spacing:3px'>" + s[0] + "<p style='word-spacing:9px'>" + s[1] + "<p style='font-variant:small-caps'>" + s[2] + "<p style='transform:rotate(20deg);width:200px;margin:120px'>" + s[3], tuple(s))}
for name, (body, words) in extra.items():
    path = os.path.join(work, name + ".html")
    open(path, "w").write(head % (name, "") + body)
    run(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--print-to-pdf=" + os.path.join(out, "chromium-" + name + ".pdf"), "file://" + path)
    truth("chromium-" + name, *words)

lo = os.path.join(work, "lo")
os.makedirs(lo)
for name, (html, _) in pages.items():
    open(os.path.join(lo, "libreoffice-" + name + ".html"), "w").write(html)
home = "-env:UserInstallation=file://" + os.path.join(work, "profile")
run("soffice", home, "--headless", "--convert-to", "odt:writer8", "--infilter=HTML (StarWriter)", "--outdir", lo, *[os.path.join(lo, "libreoffice-%s.html" % n) for n in pages])
for name, (_, words) in pages.items():
    options = {"plain": '{"SelectPdfVersion":{"type":"long","value":"2"}}', "table": '{"UseTaggedPDF":{"type":"boolean","value":"true"}}',
               "columns": '{"EncryptFile":{"type":"boolean","value":"true"},"RestrictPermissions":{"type":"boolean","value":"true"},"PermissionPassword":{"type":"string","value":"owner"}}'}.get(name, "{}")
    run("soffice", home, "--headless", "--convert-to", "pdf:writer_pdf_Export:" + options, "--outdir", out, os.path.join(lo, "libreoffice-%s.odt" % name))
    truth("libreoffice-" + name, *words)
open(os.path.join(lo, "libreoffice-sheet.csv"), "w").write("\n".join(",".join(r) for r in rows))
run("soffice", home, "--headless", "--convert-to", "pdf:calc_pdf_Export", "--outdir", out, os.path.join(lo, "libreoffice-sheet.csv"))
truth("libreoffice-sheet", table_text)


# Ghostscript.
def again(name, source, *options):
    run("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", *options, "-sOutputFile=" + os.path.join(out, name + ".pdf"), os.path.join(out, source + ".pdf"))
    shutil.copy(os.path.join(out, source + ".words"), os.path.join(out, name + ".words"))


again("gs-tex", "tex-plain")
again("gs-xetex", "xetex-dejavu", "-dPDFSETTINGS=/screen")
again("gs-chromium", "chromium-table", "-dCompatibilityLevel=1.3")
again("gs-libreoffice", "libreoffice-columns", "-dPDFSETTINGS=/prepress")
again("gs-rc4", "tex-twocolumn", "-sOwnerPassword=owner", "-dEncryptionR=3", "-dKeyLength=128")
run("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfimage8", "-r72", "-sOutputFile=" + os.path.join(out, "gs-picture.pdf"), os.path.join(out, "tex-plain.pdf"))
truth("gs-picture", "")
lines = [sentence() for _ in range(20)]
open(os.path.join(work, "hand.ps"), "w").write("%!PS\n/Times-Roman findfont 11 scalefont setfont\n" + "".join("72 %d moveto (%s) show\n" % (720 - 15 * i, l) for i, l in enumerate(lines)) + "showpage\n")
run("ps2pdf", "hand.ps", os.path.join(out, "gs-hand.pdf"))
truth("gs-hand", *lines)


# Word, imitated: words as marked content, gaps as text of their own, an embedded TrueType font by glyph.
def word(name, text, tounicode=True, title="Microsoft Word - %s.doc"):
    from fontTools.ttLib import TTFont
    path = subprocess.run(["fc-match", "-f", "%{file}", "Liberation Sans"], stdout=subprocess.PIPE).stdout.decode()
    font = TTFont(path)
    glyphs, advance = font.getBestCmap(), font["hmtx"]
    ids = {c: font.getGlyphID(glyphs[ord(c)]) for c in set(text)}
    width = {c: advance[glyphs[ord(c)]][0] * 1000 / font["head"].unitsPerEm for c in ids}
    p = pikepdf.new()
    program = Stream(p, open(path, "rb").read())
    program.Length1 = os.path.getsize(path)
    cid = Dictionary(Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name("/ABCDEF+LiberationSans"), CIDToGIDMap=Name.Identity, DW=1000,
                     CIDSystemInfo=Dictionary(Registry=String("Adobe"), Ordering=String("Identity"), Supplement=0),
                     W=Array([x for c in ids for x in (ids[c], Array([width[c]]))]),
                     FontDescriptor=p.make_indirect(Dictionary(Type=Name.FontDescriptor, FontName=Name("/ABCDEF+LiberationSans"), Flags=32, FontBBox=[-500, -300, 1300, 1000],
                                                               ItalicAngle=0, Ascent=905, Descent=-212, CapHeight=728, StemV=80, FontFile2=p.make_indirect(program))))
    f = Dictionary(Type=Name.Font, Subtype=Name.Type0, BaseFont=Name("/ABCDEF+LiberationSans"), Encoding=Name("/Identity-H"), DescendantFonts=Array([p.make_indirect(cid)]))
    if tounicode:
        chars = "".join("<%04x> <%s>\n" % (g, c.encode("utf-16-be").hex()) for c, g in ids.items())
        f.ToUnicode = p.make_stream(("/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def 1 begincodespacerange <0000> <ffff> endcodespacerange\n%d beginbfchar\n%sendbfchar endcmap end end" % (len(ids), chars)).encode())
    content, y, line, x = [], 720, [], 72
    for w in text.split():
        if x > 480:
            x, y = 72, y - 14
        for i, part in enumerate((w, " ")):
            content.append("/P <</MCID %d>> BDC BT /F1 11.04 Tf 1 0 0 1 %.2f %d Tm [<%s>] TJ ET EMC" % (len(content), x, y, "".join("%04x" % ids[c] for c in part)))
            x += sum(width[c] for c in part) * 0.01104
    p.pages.append(pikepdf.Page(p.make_indirect(Dictionary(Type=Name.Page, MediaBox=[0, 0, 612, 792], Resources=Dictionary(Font=Dictionary(F1=p.make_indirect(f))), Contents=p.make_stream("\n".join(content).encode())))))
    p.docinfo = p.make_indirect(Dictionary(Title=String(title % name)))
    p.save(os.path.join(out, name + ".pdf"))
    truth(name, text)


word("word-tounicode", paragraph(8))
word("word-no-tounicode", paragraph(8), tounicode=False)


# Scanners, imitated: a picture of a page, with invisible words over it or without.
def scan(name, text, layer):
    p = pikepdf.new()
    f = p.make_indirect(Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica, Encoding=Name.WinAnsiEncoding))
    picture = Stream(p, zlib.compress(bytes(rng.randrange(256) for _ in range(850 * 110))))
    picture.Type, picture.Subtype, picture.Width, picture.Height, picture.BitsPerComponent = Name.XObject, Name.Image, 850, 110, 8
    picture.ColorSpace, picture.Filter = Name.DeviceGray, Name.FlateDecode
    content = ["q 612 0 0 792 0 0 cm /Im0 Do Q"]
    if layer:
        x, y = 72.0, 720.0
        for w in text.split():
            set_in, seen = stringWidth(w, "Helvetica", 11), stringWidth(w, "Times-Roman", rng.uniform(10.6, 11.4))
            if x + seen > 540:
                x, y = 72.0, y - 15
            content.append("BT 3 Tr /F1 11 Tf %.1f Tz 1 0 0.01 1 %.2f %.2f Tm (%s) Tj ET" % (100 * seen / set_in, x, y + rng.uniform(-1, 1), w))
            x += seen + 3
    p.pages.append(pikepdf.Page(p.make_indirect(Dictionary(Type=Name.Page, MediaBox=[0, 0, 612, 792], Resources=Dictionary(Font=Dictionary(F1=f), XObject=Dictionary(Im0=picture)), Contents=p.make_stream("\n".join(content).encode())))))
    p.save(os.path.join(out, name + ".pdf"))
    truth(name, text if layer else "")


scan("scan-layer", paragraph(12), True)
scan("scan-layer-2", paragraph(20), True)
scan("scan-bare", "", False)
shutil.rmtree(work)
print(len([f for f in os.listdir(out) if f.endswith(".pdf")]), "files in", out)
