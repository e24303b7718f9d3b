package charset

import (
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
)

// sampleSize is how many bytes a guess looks at.
const sampleSize = 1 << 16

// guess returns the encoding that fits data best, and how well: less than zero for
// what is hardly text. Data is not UTF-8 and has bytes above 0x7f. Each candidate
// decodes it and is judged by what comes out: whether its letters belong to the
// alphabet of one language and its words look like words, or for the scripts of
// East Asia whether its characters are common ones. That tells more of a line or
// two than statistics of letter pairs do.
func guess(data []byte) (best candidate, score float64) {
	first := slices.IndexFunc(data, func(b byte) bool { return b >= utf8.RuneSelf })
	data = data[max(0, first-2):] // with what it follows
	cut := len(data) > sampleSize
	data = data[:min(len(data), sampleSize)]
	score = math.Inf(-1)
	for _, c := range candidates {
		var s float64
		if c.pairs != nil {
			s = c.pairs.score(data, cut)
		} else {
			s = alphabetScore(c, data)
		}
		if s -= c.doubt; s > score {
			best, score = c, s
		}
	}
	return best, score
}

// candidate is an encoding that is guessed.
type candidate struct {
	name      string
	enc       encoding.Encoding
	pairs     *pairs     // of a multi-byte encoding, else nil
	languages []alphabet // of a single-byte encoding, else nil
	doubt     float64    // how much better than others it has to fit
}

// alphabet is a language's letters beyond ASCII, in lower case; for other scripts
// than Latin in order of how common they are.
type alphabet string

// Scores of one letter or character.
const (
	fits     = 1.0
	neutral  = 0.5   // punctuation
	shouted  = -0.15 // a capital after another
	alone    = -0.4  // a word of one letter
	crowded  = 0.2   // a symbol beside another
	odd      = -1.0  // a symbol that prose seldom has, or a change of case within a word
	foreign  = -2.0  // a letter of another alphabet
	no       = -3.0  // not a character
	frequent = 1.5   // an East Asian character among the most frequent
)

// alphabetScore decodes data and returns the mean score of what its high bytes
// became, in the language that they fit best.
func alphabetScore(c candidate, data []byte) float64 {
	text, err := c.enc.NewDecoder().Bytes(data)
	if err != nil {
		return no
	}
	best := math.Inf(-1)
	runes := []rune(string(text))
	high := 0
	for _, r := range runes {
		if r >= utf8.RuneSelf {
			high++
		}
	}
	for _, letters := range c.languages {
		best = max(best, letters.score(runes)/float64(max(high, 1)))
	}
	return best
}

func (a alphabet) score(runes []rune) float64 {
	first, _ := utf8.DecodeRuneInString(string(a))
	otherScript := !unicode.Is(unicode.Latin, first)
	sum := 0.0
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return ' '
		}
		return runes[i]
	}
	for i, r := range runes {
		if r < utf8.RuneSelf {
			continue
		}
		before, after := at(i-1), at(i+1)
		switch {
		case r == utf8.RuneError || unicode.IsControl(r):
			sum += no
		case !unicode.IsLetter(r) && !unicode.IsMark(r):
			sum += symbolScore(r, before, after)
		default:
			lower := unicode.ToLower(r)
			rank := strings.IndexRune(string(a), lower)
			switch {
			case rank < 0:
				sum += foreign
			case otherScript: // the common ones are worth more
				sum += 1.4*fits - fits*float64(rank)/float64(len(a))
			default:
				sum += fits
			}
			switch {
			case unicode.IsUpper(r) && unicode.IsLower(before), unicode.IsUpper(before) && unicode.IsUpper(at(i-2)) && unicode.IsLower(r):
				sum += odd
			case unicode.IsUpper(r) && unicode.IsUpper(before):
				sum += shouted
			}
			switch {
			case !otherScript:
			case strings.ContainsRune("ςךםןףץ", r) && unicode.IsLetter(after): // they end words
				sum += odd
			case asciiWord(before) || asciiWord(after):
				sum += odd
			case !unicode.IsLetter(before) && !unicode.IsLetter(after) && !unicode.IsMark(after):
				sum += alone
			}
		}
	}
	return sum
}

// symbolScore judges a character beyond ASCII that is no letter by its neighbours.
func symbolScore(r, before, after rune) float64 {
	letters := unicode.IsLetter(before) && unicode.IsLetter(after)
	switch {
	case r == '’' && letters: // it's
		return fits
	case letters:
		return odd
	case strings.ContainsRune("€£¥°§±µ²³", r) && (nearDigit(before) || nearDigit(after)):
		return fits
	case before >= utf8.RuneSelf && !unicode.IsLetter(before), after >= utf8.RuneSelf && !unicode.IsLetter(after):
		return crowded
	case strings.ContainsRune("“”„‘’‚–—…•«»¿¡\u00a0،؛؟", r):
		return 0.8
	case strings.ContainsRune("€£°§©®·½¼²³µ±×№\u200e\u200f\u200d\u200c", r):
		return neutral
	}
	return odd
}

func nearDigit(r rune) bool { return unicode.IsDigit(r) || r == ' ' }

func asciiWord(r rune) bool { return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// pairs judges an encoding whose characters are mostly two bytes.
type pairs struct {
	enc      encoding.Encoding
	lead     func(b byte) bool // begins a pair
	weight   func(lead, trail byte) float64
	single   func(b byte) float64 // of a high byte that begins no pair
	frequent string               // characters

	once  sync.Once
	bytes map[[2]byte]bool // frequent in enc
}

// score walks data by pairs; cut says that it may end within one.
func (p *pairs) score(data []byte, cut bool) float64 {
	common := p.common()
	sum, n := 0.0, 0
	for i := 0; i < len(data); i++ {
		b := data[i]
		if b < utf8.RuneSelf {
			continue
		}
		n++
		if !p.lead(b) {
			sum += p.single(b)
			continue
		}
		if i+1 == len(data) {
			if !cut {
				sum += no
			}
			break
		}
		i++
		w := p.weight(b, data[i])
		if w == no {
			i-- // the next byte may be a character of its own
		} else if loneInWord(data, i-1) {
			w = odd // it's
		} else if common[[2]byte{b, data[i]}] {
			w = frequent
		}
		sum += w
	}
	return sum / float64(max(n, 1))
}

// loneInWord reports whether the pair at i stands among ASCII alone, after a letter.
func loneInWord(data []byte, i int) bool {
	letter := i > 0 && asciiWord(rune(data[i-1]))
	return letter && (i+2 >= len(data) || data[i+2] < utf8.RuneSelf)
}

// common returns the frequent characters as bytes.
func (p *pairs) common() map[[2]byte]bool {
	p.once.Do(func() {
		p.bytes = map[[2]byte]bool{}
		for _, r := range p.frequent {
			if b, err := p.enc.NewEncoder().Bytes([]byte(string(r))); err == nil && len(b) == 2 {
				p.bytes[[2]byte(b)] = true
			}
		}
	})
	return p.bytes
}

func within(b, low, high byte) bool { return low <= b && b <= high }

func never(byte) float64 { return no }

// graphic reports whether r is assigned and visible, or joins what is.
func graphic(r rune) bool { return unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) }
