package sample

import (
	"strings"
	"unicode/utf8"
)

// Stops streams the text of tokens and ends it at the first stop string. It
// holds back what may yet become a stop string, and bytes that may yet become a
// character, so whatever it returns is whole characters and final; bytes that
// are none become U+FFFD, one each, and a character that the text ends within is left out.
type Stops struct {
	stops []string
	held  string
}

// NewStops returns a stream that ends at any of the strings; empty ones are
// ignored.
func NewStops(stops ...string) *Stops {
	s := &Stops{}
	for _, stop := range stops {
		if stop != "" {
			s.stops = append(s.stops, stop)
		}
	}
	return s
}

// Write takes the next bytes of the text and returns what is now certain. When
// a stop string is complete, stopped is true and the text ends before it.
func (s *Stops) Write(piece string) (text string, stopped bool) {
	s.held += piece
	end := -1
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (end < 0 || i < end) {
			end = i
		}
	}
	if end >= 0 {
		text, s.held = s.held[:end], ""
		return valid(text), true
	}
	certain := len(s.held) - max(s.begun(), Begun(s.held))
	text, s.held = s.held[:certain], s.held[certain:]
	return valid(text), false
}

// Flush ends the text and returns what was held back, but for the bytes of a character
// that it ends within: a limit of tokens cuts anywhere.
func (s *Stops) Flush() string {
	text := s.held[:len(s.held)-Begun(s.held)]
	s.held = ""
	return valid(text)
}

// begun returns the length of the longest end of the held text that is the
// beginning of a stop string.
func (s *Stops) begun() int {
	longest := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > longest; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// Begun returns how many bytes at the end of s are the beginning of a
// character.
func Begun(s string) int {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if end := s[len(s)-n:]; utf8.RuneStart(end[0]) {
			if utf8.FullRuneInString(end) {
				return 0
			}
			return n
		}
	}
	return 0
}

func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
