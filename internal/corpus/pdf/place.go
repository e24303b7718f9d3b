package pdf

import (
	"math"
	"unicode/utf16"

	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// textPage is the text of a page in the engine.
type textPage struct {
	s   *session
	ref references.FPDF_TEXTPAGE
}

func (t textPage) close() {
	t.s.engine.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: t.ref})
}

// maxBoxes is how many boxes of a line are asked for; a line of words that are
// placed one by one has that many, one of letters that are has more.
const maxBoxes = 24

// place says where the line chars[start:end] stands. PDFium goes on with a line
// when the next text is a little lower and not to the left, as cells of a column
// are that hold one figure each: such a line is cut into what stands on one level.
func (t textPage) place(chars []uint16, start, end int) ([]line, error) {
	text := cleanText(string(utf16.Decode(chars[start:end])))
	count, err := t.s.engine.FPDFText_CountRects(&requests.FPDFText_CountRects{TextPage: t.ref, StartIndex: start, Count: end - start})
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
		if end-start > 2 && around.height() > 2*(around.right-around.left) {
			around = box{} // it runs up or down the page
		}
		return []line{{text: text, box: around}}, nil
	}
	angle, err := t.s.engine.FPDFText_GetCharAngle(&requests.FPDFText_GetCharAngle{TextPage: t.ref, Index: start})
	if err != nil {
		return nil, err
	}
	if math.Abs(math.Sin(float64(angle.CharAngle))) > 0.01 { // a slope is no change of level
		return []line{{text: text}}, nil
	}
	return t.cut(chars, start, end)
}

// cut divides a line where its characters change their level.
func (t textPage) cut(chars []uint16, start, end int) ([]line, error) {
	var lines []line
	from, around := start, box{}
	flush := func(to int) {
		if text := cleanText(string(utf16.Decode(chars[from:to]))); text != "" {
			lines = append(lines, line{text: text, box: around})
		}
		from, around = to, box{}
	}
	for i := start; i < end; i++ {
		if utf16.IsSurrogate(rune(chars[i])) || chars[i] == ' ' {
			continue
		}
		c, err := t.s.engine.FPDFText_GetLooseCharBox(&requests.FPDFText_GetLooseCharBox{TextPage: t.ref, Index: i})
		if err != nil {
			return nil, err
		}
		b := box{float64(c.Rect.Left), float64(c.Rect.Bottom), float64(c.Rect.Right), float64(c.Rect.Top)}
		if b.height() == 0 {
			continue
		}
		switch {
		case around.height() == 0:
			around = b
		case b.top < around.bottom || b.bottom > around.top:
			flush(i)
			around = b
		default:
			around = around.join(b)
		}
	}
	flush(end)
	return lines, nil
}
