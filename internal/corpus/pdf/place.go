package pdf

import (
	"math"
	"strings"
	"unicode/utf16"

	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// textPage is the text of a page in the engine.
type textPage struct {
	s   *session
	ref references.FPDF_TEXTPAGE
}

// letter is a character of a page's text.
type letter struct {
	r  rune
	at int // its number in the engine
}

// lines returns the lines of a page in the order of the file, and where they stand.
func (s *session) lines(ref requests.Page) ([]line, error) {
	loaded, err := s.engine.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: ref})
	if err != nil {
		return nil, err
	}
	t := textPage{s: s, ref: loaded.TextPage}
	defer s.engine.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: t.ref})
	letters, placed, err := t.letters()
	if err != nil {
		return nil, err
	}
	var lines []line
	for len(letters) > 0 {
		n := 0
		for n < len(letters) && !breaksLine(letters[n].r) {
			n++
		}
		if !placed || len(lines) >= maxPlaced {
			lines = append(lines, line{text: textOf(letters[:n])})
		} else if n > 0 {
			found, err := t.place(letters[:n])
			if err != nil {
				return nil, err
			}
			lines = append(lines, found...)
		}
		if n < len(letters) && letters[n].r == lineEndHyphen && len(lines) > 0 {
			lines[len(lines)-1].hyphen = true
		}
		letters = letters[min(n+1, len(letters)):]
	}
	kept := lines[:0]
	for _, l := range lines {
		if l.text != "" {
			kept = append(kept, l)
		}
	}
	return kept, nil
}

// lineEndHyphen is what PDFium returns for a hyphen at the end of a line that has a
// word's other half at the start of the next.
const lineEndHyphen = 0xfffe

func breaksLine(r rune) bool { return r == '\r' || r == '\n' || r == lineEndHyphen }

// letters returns the page's text, and whether the numbers of its letters are known.
func (t textPage) letters() (letters []letter, placed bool, err error) {
	count, err := t.s.engine.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: t.ref})
	if err != nil || count.Count == 0 {
		return nil, false, err
	}
	got, err := t.s.engine.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: t.ref, Count: count.Count})
	if err != nil {
		return nil, false, err
	}
	n := 0
	for _, r := range strings.TrimRight(got.Text, "\x00") {
		letters = append(letters, letter{r, n})
		n += max(1, utf16.RuneLen(r))
	}
	if n != count.Count { // the text leaves out control characters, which may be numbers of glyphs
		if count.Count > maxLetters {
			return letters, false, nil
		}
		if letters, err = t.each(count.Count); err != nil {
			return nil, false, err
		}
	}
	letters, err = t.mendGarbled(letters)
	return letters, true, err
}

// each asks for the letters of a page one by one.
func (t textPage) each(count int) ([]letter, error) {
	letters := make([]letter, 0, count)
	for i := range count {
		c, err := t.s.engine.FPDFText_GetUnicode(&requests.FPDFText_GetUnicode{TextPage: t.ref, Index: i})
		if err != nil {
			return nil, err
		}
		l := letter{rune(uint32(c.Unicode)), i}
		if l.r == 2 {
			if garbled, err := t.isGarbled(l); err != nil {
				return nil, err
			} else if !garbled {
				l.r = lineEndHyphen
			}
		}
		letters = append(letters, l)
	}
	return letters, nil
}

// textOf returns what letters say, with one blank between words.
func textOf(letters []letter) string {
	var b strings.Builder
	for _, l := range letters {
		b.WriteRune(l.r)
	}
	return strings.Join(strings.Fields(mendLigatures(cleanText(b.String()))), " ")
}

// maxBoxes is how many boxes of a line are asked for; a line of words that are
// placed one by one has that many, one of letters that are has more.
const maxBoxes = 24

// place says where a line stands. PDFium goes on with a line when the next text is a
// little lower and not to the left, as cells of a column are that hold one figure
// each: such a line is cut into what stands on one level.
func (t textPage) place(letters []letter) ([]line, error) {
	start := letters[0].at
	count, err := t.s.engine.FPDFText_CountRects(&requests.FPDFText_CountRects{
		TextPage: t.ref, StartIndex: start, Count: letters[len(letters)-1].at + 1 - start})
	if err != nil {
		return nil, err
	}
	var around box
	level := true
	step := max(1, (count.Count+maxBoxes-1)/maxBoxes)
	for i := 0; i < count.Count; i += step {
		r, err := t.s.engine.FPDFText_GetRect(&requests.FPDFText_GetRect{TextPage: t.ref, Index: i})
		if err != nil {
			return nil, err
		}
		b := box{r.Left, r.Bottom, r.Right, r.Top}
		if i == 0 {
			around = b
			continue
		}
		level = level && (b.level(around) || b.height() == 0 || around.height() == 0)
		around = around.join(b)
	}
	if level {
		if len(letters) > 2 && around.height() > 2*(around.right-around.left) {
			around = box{} // it runs up or down the page
		}
		return t.mended(letters, around)
	}
	angle, err := t.s.engine.FPDFText_GetCharAngle(&requests.FPDFText_GetCharAngle{TextPage: t.ref, Index: start})
	if err != nil {
		return nil, err
	}
	if math.Abs(math.Sin(float64(angle.CharAngle))) > 0.01 { // a slope is no change of level
		return t.mended(letters, box{})
	}
	return t.cut(letters)
}

// cut divides a line where its letters change their level.
func (t textPage) cut(letters []letter) ([]line, error) {
	var lines []line
	from, around := 0, box{}
	for i, l := range letters {
		if l.r == ' ' {
			continue
		}
		b, err := t.box(l)
		if err != nil {
			return nil, err
		}
		switch {
		case b.height() == 0:
		case around.height() == 0:
			around = b
		case b.top < around.bottom || b.bottom > around.top:
			found, err := t.mended(letters[from:i], around)
			if err != nil {
				return nil, err
			}
			lines = append(lines, found...)
			from, around = i, b
		default:
			around = around.join(b)
		}
	}
	found, err := t.mended(letters[from:], around)
	return append(lines, found...), err
}

// box returns where a letter stands, as high as the font's highest.
func (t textPage) box(l letter) (box, error) {
	b, err := t.s.engine.FPDFText_GetLooseCharBox(&requests.FPDFText_GetLooseCharBox{TextPage: t.ref, Index: l.at})
	if err != nil {
		return box{}, err
	}
	return box{float64(b.Rect.Left), float64(b.Rect.Bottom), float64(b.Rect.Right), float64(b.Rect.Top)}, nil
}

// mended returns the line that letters make, with what the file or PDFium took apart
// put together.
func (t textPage) mended(letters []letter, around box) ([]line, error) {
	for _, mend := range []func([]letter) ([]letter, error){t.mendAccents, t.mendOrder, t.mendSpacing} {
		var err error
		if letters, err = mend(letters); err != nil {
			return nil, err
		}
	}
	return []line{{text: textOf(letters), box: around}}, nil
}
