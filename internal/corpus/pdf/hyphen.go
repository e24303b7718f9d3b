package pdf

import (
	"strings"
	"unicode"
)

// vocabulary holds the words of a document that have a hyphen within a line, which
// tells "well-known" from "photovoltaic" where a line ends after the hyphen.
type vocabulary map[string]bool

// add notes the words of a line.
func (v vocabulary) add(text string) {
	if !strings.Contains(text, "-") {
		return
	}
	for _, word := range strings.FieldsFunc(text, notInWord) {
		if strings.Contains(strings.Trim(word, "-"), "-") {
			v[strings.ToLower(word)] = true
		}
	}
}

// hyphen returns what stands between the end of a line that was cut within a word
// and the next line: nothing, unless the document has the word with a hyphen.
func (v vocabulary) hyphen(before, after string) string {
	first := before[strings.LastIndexFunc(before, notInWord)+1:]
	second := after
	if i := strings.IndexFunc(after, notInWord); i >= 0 {
		second = after[:i]
	}
	if v[strings.ToLower(first+"-"+second)] {
		return "-"
	}
	return ""
}

func notInWord(r rune) bool {
	return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}
