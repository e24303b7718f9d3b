#!/usr/bin/env python3
"""Makes small PDFs, each with one thing that readers get wrong: see README.md.

    small.py FOLDER
"""
import io
import os
import sys
import zlib

import pikepdf
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from pikepdf import Array, Dictionary, Encryption, Name, Stream, String

out = sys.argv[1]
os.makedirs(out, exist_ok=True)


def helvetica():
    return Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica, Encoding=Name.WinAnsiEncoding)


def new(*contents, font=None):
    """A document with one page for each content stream, or list of streams."""
    p = pikepdf.new()
    f = p.make_indirect(font(p) if font else helvetica())
    for c in contents:
        streams = [p.make_stream(s) for s in (c if isinstance(c, list) else [c])]
        p.pages.append(pikepdf.Page(p.make_indirect(Dictionary(
            Type=Name.Page, MediaBox=[0, 0, 612, 792], Resources=Dictionary(Font=Dictionary(F1=f)),
            Contents=Array(streams) if len(streams) > 1 else streams[0]))))
    return p


def save(p, name, **options):
    p.save(os.path.join(out, name + ".pdf"), deterministic_id="encryption" not in options, **options)


def show(text, x=72, y=700, size=10):
    return b"BT /F1 %d Tf %g %g Td (%s) Tj ET\n" % (size, x, y, text.encode("cp1252"))


# Words.
save(new(b"BT /F1 10 Tf 72 700 Td (Every) Tj ET BT /F1 10 Tf 102 700 Td (word) Tj ET BT /F1 10 Tf 130 700 Td (block) Tj ET"), "words-blocks")
save(new(b"BT /F1 10 Tf 72 700 Td [(K)120(ern)-20(ed)-278(w)40(ords)-278(sta)20(y)-278(whole)] TJ ET"), "words-kerned")
save(new(b"BT /F1 10 Tf 3 Tc 72 700 Td (Spaced) Tj 66 0 Td (letters) Tj ET"), "words-letterspaced")
save(new(b"BT /F1 1 Tf 10 0 0 10 72 700 Tm (Scaled) Tj 3.6 0 Td (by) Tj 1.6 0 Td (matrix) Tj -5.2 -1.4 Td (second) Tj 3.9 0 Td (line) Tj ET"), "words-scaled")
save(new([b"BT /F1 10 Tf 72 700 Td (Split between operators)", b"Tj ET"]), "split-operator")
save(new(b"0 1 -1 0 300 100 cm " + show("Turned text", 0, 0) + show("on its second line", 0, -14)), "turned")

# Tables and columns.
cells = [("Item", "Hammer", "Screwdriver", "Pliers"), ("Price", "120", "85", "140"), ("Stock", "7", "12", "3")]
save(new(b"".join(show(t, x, 700 - 14 * i) for x, column in zip((72, 200, 300), cells) for i, t in enumerate(column))), "table-by-columns")
save(new(b"".join(show(t, x, 700 - 14 * i) for i, row in enumerate(zip(*cells)) for x, t in zip((72, 200, 300), row))), "table-by-rows")
left = ["The left column is read first and goes on", "for three lines of running text before the", "reader comes to the other one."]
right = ["The right column is read after it, though", "each of its lines stands beside a line of", "the left one."]
save(new(b"".join(show(t, x, 700 - 12 * i) for x, column in ((72, left), (320, right)) for i, t in enumerate(column))), "columns")
save(new(b"".join(show(t, 72, y) for t, y in (("First paragraph,", 700), ("with a second line.", 688), ("Second paragraph,", 660), ("also with two lines.", 648)))), "paragraphs")
save(new(b"".join(show(t, 72, y) for t, y in (("It is a well-known fact that photo-", 700), ("voltaic modules are well-", 688), ("known to last.", 676)))), "hyphens")

# Fonts.
save(new(show("\x01\x02ce \x03at", 72).replace(b"\x01", b"\\001").replace(b"\x02", b"\\002").replace(b"\x03", b"\\003"),
         font=lambda p: Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name("/Times-Roman"),
                                   Encoding=Dictionary(Type=Name.Encoding, Differences=Array([1, Name.O, 2, Name.ffi, 3, Name.fl])))), "font-differences")
tounicode = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <00> <ff> endcodespacerange 2 beginbfchar <41> <00660069> <42> <D835DC00> endbfchar 1 beginbfrange <61> <7a> <0061> endbfrange endcmap end end"
save(new(b"BT /F1 10 Tf 72 700 Td (Anal c B) Tj ET", font=lambda p: Dictionary(
    Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica, ToUnicode=p.make_stream(tounicode))), "font-tounicode")


def type3(p):
    square = p.make_stream(b"600 0 0 0 500 700 d1 0 0 500 700 re f")
    return Dictionary(Type=Name.Font, Subtype=Name.Type3, FontBBox=[0, 0, 600, 700], FontMatrix=[0.001, 0, 0, 0.001, 0, 0],
                      CharProcs=Dictionary(a=square, b=square), Encoding=Dictionary(Type=Name.Encoding, Differences=Array([97, Name.a, Name.b])),
                      FirstChar=97, LastChar=98, Widths=[600, 600], Resources=Dictionary())


save(new(b"BT /F1 10 Tf 72 700 Td (abba) Tj ET", font=type3), "font-type3")


def cid(encoding, registry, name):
    return lambda p: Dictionary(Type=Name.Font, Subtype=Name.Type0, BaseFont=Name("/" + name), Encoding=Name("/" + encoding), DescendantFonts=Array([
        Dictionary(Type=Name.Font, Subtype=Name.CIDFontType0, BaseFont=Name("/" + name), DW=1000,
                   CIDSystemInfo=Dictionary(Registry=String("Adobe"), Ordering=String(registry), Supplement=2))]))


def hexed(data):
    return b"BT /F1 10 Tf 72 700 Td <" + data.hex().encode() + b"> Tj ET"


save(new(hexed("日本語の文書".encode("cp932")), font=cid("90ms-RKSJ-H", "Japan1", "HeiseiMin-W3")), "font-shift-jis")
save(new(hexed("中文文件".encode("big5")), font=cid("ETen-B5-H", "CNS1", "MSung-Light")), "font-big5")
save(new(hexed("简体中文".encode("gbk")), font=cid("GBK-EUC-H", "GB1", "STSong-Light")), "font-gbk")
save(new(hexed("한국어 문서".encode("cp949")), font=cid("KSCms-UHC-H", "Korea1", "HYSMyeongJo-Medium")), "font-uhc")
save(new(hexed(bytes.fromhex("0de405c70caa")), font=cid("Identity-H", "Japan1", "KozMinPro")), "font-cid")



def boxes(text, cmap=True):
    """A TrueType font with a box for each letter, and the numbers of their glyphs."""
    order = [".notdef"] + ["g%d" % i for i in range(len(text))]
    pen = TTGlyphPen(None)
    for i, at in enumerate(((50, 0), (50, 700), (450, 700), (450, 0))):
        (pen.lineTo if i else pen.moveTo)(at)
    pen.closePath()
    box = pen.glyph()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(order)
    made.setupCharacterMap({ord(c): g for c, g in zip(text, order[1:])} if cmap else {})
    made.setupGlyf({g: box for g in order})
    made.setupHorizontalMetrics({g: (500, 50) for g in order})
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost(keepGlyphNames=False)
    data = io.BytesIO()
    made.save(data)
    return data.getvalue()


def glyphs(program, tounicode=None):
    def font(p):
        file = p.make_stream(program)
        file.Length1 = len(program)
        descriptor = p.make_indirect(Dictionary(Type=Name.FontDescriptor, FontName=Name("/ABCDEF+Boxes"), Flags=4, FontBBox=[0, -200, 500, 800], ItalicAngle=0, Ascent=800, Descent=-200, CapHeight=700, StemV=80, FontFile2=file))
        cid = Dictionary(Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name("/ABCDEF+Boxes"), DW=500, CIDToGIDMap=Name.Identity, FontDescriptor=descriptor,
                         CIDSystemInfo=Dictionary(Registry=String("Adobe"), Ordering=String("Identity"), Supplement=0))
        f = Dictionary(Type=Name.Font, Subtype=Name.Type0, BaseFont=Name("/ABCDEF+Boxes"), Encoding=Name("/Identity-H"), DescendantFonts=Array([cid]))
        if tounicode:
            f.ToUnicode = p.make_stream(tounicode)
        return f
    return font


def numbers(alphabet, text):
    return "".join("%04x" % (alphabet.index(c) + 1) for c in text).encode()


alphabet = "glyphsonumbert "
show_numbers = b"BT /F1 10 Tf 72 700 Td <" + numbers(alphabet, "glyphs to numbers") + b"> Tj ET"
save(new(show_numbers, font=glyphs(boxes(alphabet))), "font-glyphs")
save(new(show_numbers, show_numbers, font=glyphs(boxes(alphabet, cmap=False))), "font-unknown")
swapped = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange 3 beginbfchar <0001> <66006900> <0002> <0072> <0003> <66006c00> endbfchar endcmap end end"
save(new(b"BT /F1 10 Tf 72 700 Td <000100020003> Tj ET", font=glyphs(boxes("xyz"), swapped)), "font-swapped-ligatures")
arabic = "مرحبا بالعالم"
letters = "".join(sorted(set(arabic)))
shown = " ".join(w[::-1] for w in arabic.split()[::-1])  # as on paper, from the left
tounicode = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange %d beginbfchar " % len(letters)
tounicode += b"".join(b"<%04x> <%04x> " % (i + 1, ord(c)) for i, c in enumerate(letters)) + b"endbfchar endcmap end end"
save(new(b"".join(b"BT /F1 10 Tf %d 700 Td <%s> Tj ET\n" % (72 + 5 * i, numbers(letters, c)) for i, c in enumerate(shown) if c != " "), font=glyphs(boxes(letters), tounicode)), "right-to-left")
save(new(b"BT /F1 10 Tf 72 700 Td (na) Tj ET BT /F1 10 Tf 82.7 700 Td (\250) Tj ET BT /F1 10 Tf 83.2 700 Td (ive caf) Tj ET BT /F1 10 Tf 113.2 700 Td (\264) Tj ET BT /F1 10 Tf 112.1 700 Td (e) Tj ET"), "accents-apart")
save(new(b"BT /F1 10 Tf 72 700 Td (T) Tj 11 0 Td (i) Tj 8 0 Td (t) Tj 8 0 Td (l) Tj 8 0 Td (e) Tj 16 0 Td (p) Tj 11 0 Td (a) Tj 11 0 Td (g) Tj 11 0 Td (e) Tj ET"), "words-far-letters")

# Forms and annotations.
p = new(show("Page text outside"))
x = p.make_stream(show("Text inside a form", y=600))
x.Type, x.Subtype, x.BBox, x.Resources = Name.XObject, Name.Form, Array([0, 0, 612, 792]), p.pages[0].Resources
outer = p.make_stream(b"/Inner Do")
outer.Type, outer.Subtype, outer.BBox, outer.Resources = Name.XObject, Name.Form, Array([0, 0, 612, 792]), Dictionary(XObject=Dictionary(Inner=x))
p.pages[0].Resources.XObject = Dictionary(Outer=outer)
p.pages[0].Contents = Array([p.pages[0].Contents, p.make_stream(b"/Outer Do")])
save(p, "form-nested")
x.Resources = Dictionary(Font=p.pages[0].Resources.Font, XObject=Dictionary(Inner=outer))
x.write(show("Text in a form that shows itself", y=600) + b"/Inner Do")
save(p, "form-cycle")


def fields(p, *all):
    made = [p.make_indirect(f) for f in all]
    p.pages[0].Annots = Array(made)
    p.Root.AcroForm = Dictionary(Fields=Array(made), DA=String("/Helv 0 Tf 0 g"), DR=Dictionary(Font=Dictionary(Helv=p.make_indirect(helvetica()))))
    return made


def field(name, value, y, **more):
    return Dictionary(Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T=String(name), V=String(value), Rect=[120, y - 4, 320, y + 12], **more)


p = new(show("Name:") + show("Town:", y=680) + show("Secret:", y=660))
fields(p, field("name", "Brunhilde Kaufmann", 700), field("town", "Brno", 680), field("secret", "unseen", 660, F=2))
save(p, "fields")
p = new(show("Colour:"))
kid = p.make_indirect(Dictionary(Type=Name.Annot, Subtype=Name.Widget, Rect=[120, 696, 320, 712]))
made = fields(p, Dictionary(FT=Name.Ch, Ff=1 << 17, T=String("colour"), V=String("Vermilion"), Opt=Array([String("Vermilion"), String("Ochre")]), Kids=Array([kid])))
kid.Parent = made[0]
p.pages[0].Annots = Array([kid])
save(p, "fields-inherited")
p = new(show("Printed text."))
note = p.make_stream(b"BT /F1 10 Tf 2 4 Td (A note on the page) Tj ET")
note.Type, note.Subtype, note.BBox, note.Resources = Name.XObject, Name.Form, Array([0, 0, 150, 16]), p.pages[0].Resources
p.pages[0].Annots = Array([p.make_indirect(Dictionary(Type=Name.Annot, Subtype=Name.FreeText, Contents=String("A note on the page"), F=4,
                                                      Rect=[72, 600, 222, 616], DA=String("/Helv 10 Tf"), AP=Dictionary(N=note)))])
save(p, "note")

# Encryption.
for name, options in {"rc4-40": dict(R=2, aes=False, metadata=False), "rc4-128": dict(R=3, aes=False, metadata=False), "aes-128": dict(R=4, aes=True),
                      "aes-128-metadata": dict(R=4, aes=True, metadata=False), "aes-256-r5": dict(R=5), "aes-256": dict(R=6)}.items():
    p = new(show("Opens without a password."))
    save(p, "encrypted-" + name, encryption=Encryption(user="", owner="owner", **options))
save(new(show("Kept secret.")), "password-rc4", encryption=Encryption(user="user", owner="owner", R=3, aes=False, metadata=False))
save(new(show("Kept secret.")), "password-aes-256", encryption=Encryption(user="user", owner="owner", R=6))

# Damage.
three = (show("Page one."), show("Page two."), show("Page three."))


def picture(p):
    i = Stream(p, zlib.compress(bytes(8 * 8)))
    i.Type, i.Subtype, i.Width, i.Height, i.BitsPerComponent, i.ColorSpace, i.Filter = Name.XObject, Name.Image, 8, 8, 8, Name.DeviceGray, Name.FlateDecode
    return i


p = new(*three)
p.pages[1].Contents = p.make_stream(b"q 612 0 0 792 0 0 cm /Im0 Do Q")
p.pages[1].Resources = Dictionary(XObject=Dictionary(Im0=picture(p)))
save(p, "page-scanned")
p = new(*three)
p.pages[1].Contents = Stream(p, b"this is no deflated data", Filter=Name.FlateDecode)
save(p, "page-garbled", stream_decode_level=pikepdf.StreamDecodeLevel.none)
p = new(show("Page one."), b"BT /F1 10 Tf 72 700 Td (Before) Tj ET ]]>> 7 (unclosed", show("Page three."))
save(p, "page-odd-operators")
save(new(*three), "streams", object_stream_mode=pikepdf.ObjectStreamMode.generate)
save(new(*three), "whole")
whole = open(os.path.join(out, "whole.pdf"), "rb").read()


def write(name, data):
    open(os.path.join(out, name + ".pdf"), "wb").write(data)


write("page-missing", whole.replace(b"/Kids [ 3 0 R 4 0 R 5 0 R ]", b"/Kids [ 3 0 R 9 0 R 5 0 R ]"))
write("xref-lost", whole[:whole.rindex(b"xref\n0")])
write("xref-wrong", whole.replace(b"xref\n0", b"xref\n3"))
write("startxref-wrong", whole[:whole.rindex(b"startxref")] + b"startxref\n99\n%%EOF\n")
write("leading", b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n" + whole)
write("leading-much", b"X-Padding: " + b"-" * 3000 + b"\r\n\r\n" + whole)
write("trailing-lines", whole + b"\r\n \n" * 1500)
write("header-lost", whole[whole.index(b"\n") + 1:])
write("catalog-lost", whole[whole.index(b"3 0 obj"):whole.rindex(b"xref\n0")])
write("cut", whole[:len(whole) * 2 // 3])
os.remove(os.path.join(out, "whole.pdf"))

# Hostile.
p = new(show("A page of a tree that loops."))
p.Root.Pages.Kids.append(p.Root.Pages)
p.Root.Pages.Count = 1000000
save(p, "tree-cycle")
p = new(show("A bomb is on page two."), b"")
bomb = b"\0" * (4 << 20)
p.pages[1].Contents = Stream(p, zlib.compress(zlib.compress(bomb, 9), 9), Filter=Array([Name.FlateDecode, Name.FlateDecode]))
save(p, "bomb", stream_decode_level=pikepdf.StreamDecodeLevel.none)
p = new(show("Deep nesting follows."), b"[" * 20000)
save(p, "nesting")

# Titles.
for name, title in {"untitled": "untitled", "anonymous": "(anonymous)", "word": "Microsoft Word - Garden plan 2.docx", "given": "A history of bridges"}.items():
    p = new(show("Titled."))
    p.docinfo = p.make_indirect(Dictionary(Title=String(title)))
    save(p, "title-" + name)
