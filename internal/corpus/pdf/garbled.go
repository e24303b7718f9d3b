package pdf

import (
	"bytes"
	"slices"
	"unicode"

	"github.com/klippa-app/go-pdfium/requests"
	"golang.org/x/image/font/sfnt"
)

// A font may show letters without saying which they are. PDFium then returns the
// number of the glyph in their place. The font's own table of letters, where the
// file holds all of the font, tells them; else they are left out.

// garbledEvery is of how many letters one is looked at for that.
const garbledEvery = 16

// anyGarbled reports whether letters of the page are numbers of glyphs.
func (t textPage) anyGarbled(letters []letter) (bool, error) {
	opens := true // a line
	for i, l := range letters {
		if opens || i%garbledEvery == 0 {
			if bad, err := t.isGarbled(l); bad || err != nil {
				return bad, err
			}
		}
		opens = breaksLine(l.r)
	}
	return false, nil
}

func (t textPage) isGarbled(l letter) (bool, error) {
	if l.r == ' ' {
		return false, nil
	}
	is, err := t.s.engine.FPDFText_HasUnicodeMapError(&requests.FPDFText_HasUnicodeMapError{TextPage: t.ref, Index: l.at})
	return err == nil && is.HasUnicodeMapError, err
}

// mendGarbled puts letters in the place of the numbers of glyphs.
func (t textPage) mendGarbled(letters []letter) ([]letter, error) {
	if garbled, err := t.anyGarbled(letters); err != nil || !garbled {
		return letters, err
	}
	for i, l := range letters {
		bad, err := t.isGarbled(l)
		if err != nil {
			return nil, err
		}
		if !bad {
			continue
		}
		font := t.fontOf(l)
		if font.ownCodes {
			continue
		}
		letters[i].r = font.letters[sfnt.GlyphIndex(l.r)]
		if letters[i].r == 0 {
			t.s.unknown = true
		}
	}
	return slices.DeleteFunc(letters, func(l letter) bool { return l.r == 0 }), nil
}

// font is what is known of a font that does not say what it shows.
type font struct {
	letters  map[sfnt.GlyphIndex]rune // of its glyphs; nil: unknown
	ownCodes bool                     // its text is codes of characters, most often ASCII
}

// fontOf returns the font of a letter; a font without a name is drawn by the file
// itself and has codes.
func (t textPage) fontOf(l letter) font {
	e := t.s.engine
	object, err := e.FPDFText_GetTextObject(&requests.FPDFText_GetTextObject{TextPage: t.ref, Index: l.at})
	if err != nil {
		return font{}
	}
	ref, err := e.FPDFTextObj_GetFont(&requests.FPDFTextObj_GetFont{PageObject: object.TextObject})
	if err != nil {
		return font{}
	}
	name, err := e.FPDFFont_GetBaseFontName(&requests.FPDFFont_GetBaseFontName{Font: ref.Font})
	if err != nil || name.BaseFontName == "" {
		return font{ownCodes: true}
	}
	known, ok := t.s.fonts[name.BaseFontName]
	if !ok {
		embedded, err := e.FPDFFont_GetIsEmbedded(&requests.FPDFFont_GetIsEmbedded{Font: ref.Font})
		if err == nil && embedded.IsEmbedded {
			if data, err := e.FPDFFont_GetFontData(&requests.FPDFFont_GetFontData{Font: ref.Font}); err == nil {
				known = font{letters: lettersOf(data.FontData), ownCodes: hasCodes(data.FontData)}
			}
		}
		t.s.fonts[name.BaseFontName] = known
	}
	return known
}

// hasCodes reports whether a font is of the kind whose text is codes of characters:
// Type 1, plain or compact; compact ones for numbers of glyphs name their registry.
func hasCodes(data []byte) bool {
	if bytes.HasPrefix(data, []byte("%!")) || bytes.HasPrefix(data, []byte{0x80, 1}) {
		return true
	}
	const registry = "\x0c\x1e"
	return bytes.HasPrefix(data, []byte{1, 0}) && !bytes.Contains(data[:min(len(data), 1<<10)], []byte(registry))
}

// lettersOf reads a font's table of letters; nil if it has none.
func lettersOf(data []byte) map[sfnt.GlyphIndex]rune {
	parsed, err := sfnt.Parse(data)
	if err != nil {
		return nil
	}
	letters := map[sfnt.GlyphIndex]rune{}
	var buffer sfnt.Buffer
	for r := rune(' '); r <= 0xffff; r++ {
		if !unicode.IsGraphic(r) {
			continue
		}
		if glyph, err := parsed.GlyphIndex(&buffer, r); err == nil && glyph != 0 && letters[glyph] == 0 {
			letters[glyph] = r
		}
	}
	return letters
}
