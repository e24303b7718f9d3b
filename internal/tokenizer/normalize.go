package tokenizer

import (
	"iter"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A Step is something that is done to text before it is cut, as tokenizer.json names it.
type Step struct {
	Kind        string // NFC, NFD, NFKC, NFKD, Replace, Prepend or Strip
	From, To    string // of Replace; Prepend puts To in front of a text that is not empty
	Left, Right bool   // of Strip: on which sides blanks go
}

// forms are Unicode's normal forms. Among more than 30 combining marks in a row, which no writing has, the norm package puts
// a joiner that the reference does not.
var forms = map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}

// normalizer makes one function of steps; nil for none.
func normalizer(steps []Step) func(text string) string {
	if len(steps) == 0 {
		return nil
	}
	return func(text string) string {
		for _, s := range steps {
			switch s.Kind {
			case "Replace":
				text = strings.ReplaceAll(text, s.From, s.To)
			case "Prepend":
				if text != "" {
					text = s.To + text
				}
			case "Strip":
				if s.Left {
					text = strings.TrimLeftFunc(text, unicode.IsSpace)
				}
				if s.Right {
					text = strings.TrimRightFunc(text, unicode.IsSpace)
				}
			default:
				text = forms[s.Kind].String(text)
			}
		}
		return text
	}
}

// BlankSteps write blanks as SentencePiece does, perhaps with one in front of the text.
func BlankSteps(prefix bool) []Step {
	steps := []Step{{Kind: "Replace", From: " ", To: blankMark}}
	if prefix {
		steps = append([]Step{{Kind: "Prepend", To: blankMark}}, steps...)
	}
	return steps
}

// Front says where a blank is put in front of a text that does not begin with one.
type Front string

// The places.
const (
	FrontNever  Front = ""       // nowhere
	FrontFirst  Front = "first"  // of the whole text
	FrontAlways Front = "always" // of the whole text, and of what stands behind each added token
)

// put gives text with the mark in front where it belongs; starts tells whether the whole text begins with it.
func (f Front) put(text, mark string, starts bool) string {
	if f == FrontNever || f == FrontFirst && !starts || strings.HasPrefix(text, mark) {
		return text
	}
	return mark + text
}

// wordsOf cuts text in front of each blank.
func wordsOf(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := len(text)
			if at := strings.Index(text[1:], blankMark); at >= 0 {
				n = 1 + at
			}
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}
