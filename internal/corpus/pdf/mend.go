package pdf

import (
	"slices"
	"strings"
	"unicode"

	"github.com/klippa-app/go-pdfium/requests"
	"golang.org/x/text/unicode/norm"
)

// accents are the marks that programs without accented letters put over a letter as
// one of their own, such as TeX with its first fonts.
var accents = map[rune]rune{
	'`': 0x300, '´': 0x301, 'ˆ': 0x302, '^': 0x302, '˜': 0x303, '~': 0x303, '¯': 0x304, '˘': 0x306,
	'˙': 0x307, '¨': 0x308, '˚': 0x30a, '˝': 0x30b, 'ˇ': 0x30c, '¸': 0x327, '˛': 0x328,
}

// mendAccents joins an accent with the letter that it stands over or under.
func (t textPage) mendAccents(letters []letter) ([]letter, error) {
	if !slices.ContainsFunc(letters, func(l letter) bool { return accents[l.r] != 0 }) {
		return letters, nil
	}
	boxes := make([]box, len(letters))
	for i, l := range letters {
		if unicode.IsLetter(l.r) || accents[l.r] != 0 {
			var err error
			if boxes[i], err = t.box(l); err != nil {
				return nil, err
			}
		}
	}
	letters = slices.Clone(letters)
	for i := range letters {
		mark := accents[letters[i].r]
		if mark == 0 {
			continue
		}
		middle := (boxes[i].left + boxes[i].right) / 2
		for j, l := range letters {
			if !unicode.IsLetter(l.r) || middle <= boxes[j].left || middle >= boxes[j].right {
				continue
			}
			base := l.r
			if base == 'ı' {
				base = 'i'
			}
			if made := []rune(norm.NFC.String(string([]rune{base, mark}))); len(made) == 1 {
				letters[j].r, letters[i].r = made[0], 0
				break
			}
		}
	}
	return slices.DeleteFunc(letters, func(l letter) bool { return l.r == 0 }), nil
}

// mendOrder turns words that are written from right to left into the order in which
// they are read, where the file has their letters in the order of the paper and
// PDFium left them so.
func (t textPage) mendOrder(letters []letter) ([]letter, error) {
	cloned := false
	for i := 0; i < len(letters); i++ {
		if !rightToLeft(letters[i].r) {
			continue
		}
		end := i + 1
		for end < len(letters) && (rightToLeft(letters[end].r) || unicode.IsMark(letters[end].r)) {
			end++
		}
		word := letters[i:end]
		first, err := t.box(word[0])
		if err != nil {
			return nil, err
		}
		last, err := t.box(word[len(word)-1])
		if err != nil {
			return nil, err
		}
		if len(word) > 1 && first.right <= last.right && first.left < last.left {
			if !cloned {
				letters, cloned = slices.Clone(letters), true
			}
			slices.Reverse(letters[i:end])
		}
		i = end
	}
	return letters, nil
}

func rightToLeft(r rune) bool {
	return r >= 0x590 && unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

// mendSpacing takes out the blanks that PDFium makes of the gaps in a line that is
// set with spaces between its letters. The gaps between words are wider, or are
// blanks of the file.
func (t textPage) mendSpacing(letters []letter) ([]letter, error) {
	if !spaced(textOf(letters)) {
		return letters, nil
	}
	type gap struct {
		at    int // in letters
		width float64
	}
	var made []gap
	var widths []float64
	real := false
	for i := 1; i+1 < len(letters); i++ {
		if letters[i].r != ' ' {
			continue
		}
		generated, err := t.s.engine.FPDFText_IsGenerated(&requests.FPDFText_IsGenerated{TextPage: t.ref, Index: letters[i].at})
		if err != nil {
			return nil, err
		}
		if !generated.IsGenerated {
			real = true
			continue
		}
		before, err := t.box(letters[i-1])
		if err != nil {
			return nil, err
		}
		after, err := t.box(letters[i+1])
		if err != nil {
			return nil, err
		}
		if width := after.left - before.right; width < 0.6*before.height() {
			made = append(made, gap{i, width})
			widths = append(widths, width)
		}
	}
	if len(made) == 0 {
		return letters, nil
	}
	slices.Sort(widths)
	usual := widths[len(widths)/2]
	letters = slices.Clone(letters)
	for _, g := range made {
		if real || g.width <= 1.4*usual {
			letters[g.at].r = 0
		}
	}
	return slices.DeleteFunc(letters, func(l letter) bool { return l.r == 0 }), nil
}

// spaced reports whether most words of a line are one letter.
func spaced(text string) bool {
	words, single := 0, 0
	for w := range strings.FieldsSeq(text) {
		words++
		if r := []rune(w); len(r) == 1 && unicode.IsLetter(r[0]) {
			single++
		}
	}
	return words >= 5 && single*2 >= words
}

// ligatures are what Ghostscript writes for the letters of a ligature: it has the
// bytes of each the wrong way round.
var ligatures = strings.NewReplacer("昀昀椀", "ffi", "昀昀氀", "ffl", "昀昀", "ff", "昀椀", "fi", "昀氀", "fl", "昀樀", "fj", "琀琀", "tt", "琀椀", "ti", "昀琀", "ft")

func mendLigatures(text string) string {
	if !strings.ContainsAny(text, "昀琀") {
		return text
	}
	return ligatures.Replace(text)
}
