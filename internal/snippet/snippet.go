// Package snippet picks what of a passage is shown for a query: the part with most
// of the query's words, in the lines that it has.
package snippet

import (
	"strings"
	"unicode/utf8"
)

// Span is a piece of a text, in bytes.
type Span struct{ Start, End int }

// Around returns the part of text, at most about size bytes, that holds most
// different hits and then most hits. It begins and ends with lines where there are
// any near, else with words. hits ascend and do not overlap.
func Around(text string, hits []Span, size int) Span {
	whole := trimmed(text, Span{0, len(text)})
	if whole.End-whole.Start <= size {
		return whole
	}
	if len(hits) == 0 {
		return trimmed(text, Span{whole.Start, end(text, whole.Start, Span{whole.Start, whole.Start + size}, whole.End, 0)})
	}
	first, last := best(text, hits, size)
	// A third of the room that is left goes in front, where the sentence begins.
	room := max(0, size-(last.End-first.Start))
	from := start(text, max(whole.Start, first.Start-room/3), first.Start, size/3)
	return trimmed(text, Span{from, end(text, from, Span{last.End, max(last.End, from+size)}, whole.End, size/3)})
}

// best returns the first and the last hit of the best stretch of at most size bytes.
func best(text string, hits []Span, size int) (first, last Span) {
	count := map[string]int{} // hits in the stretch by what they say
	most, distinct, from := -1, 0, 0
	for to, h := range hits {
		word := strings.ToLower(text[h.Start:h.End])
		if count[word]++; count[word] == 1 {
			distinct++
		}
		for h.End-hits[from].Start > size && from < to {
			word := strings.ToLower(text[hits[from].Start:hits[from].End])
			if count[word]--; count[word] == 0 {
				distinct--
			}
			from++
		}
		if worth := distinct*len(hits) + (to - from); worth > most {
			most, first, last = worth, hits[from], h
		}
	}
	return first, last
}

// start returns where a part begins that may begin at from and must at to: with the
// line, if that is not much longer in front, else behind the first end of a sentence,
// else with a word.
func start(text string, from, to, much int) int {
	if line := strings.LastIndexByte(text[:to], '\n') + 1; to-line <= much || line >= from {
		if before := strings.LastIndexByte(text[:max(0, line-1)], '\n') + 1; line > 0 && before >= from {
			return before // for one line more there is room
		}
		return line
	}
	for _, mark := range []string{". ", "? ", "! ", " "} {
		if i := strings.Index(text[from:to], mark); i >= 0 {
			return from + i + len(mark)
		}
	}
	return runeStart(text, from)
}

// end returns where a part from begin on ends: with the last line or sentence that
// ends within may, else with a word. The line that it must have is had whole if it
// is not much longer.
func end(text string, begin int, may Span, limit, much int) int {
	if may.End >= limit {
		return limit
	}
	from, to := min(may.Start, may.End), runeStart(text, may.End)
	if i := strings.IndexByte(text[from:limit], '\n'); i >= 0 && i <= much {
		if to <= from+i {
			return from + i
		}
		from += i
	}
	from = min(from, to)
	for _, mark := range []string{"\n", ". ", "? ", "! "} {
		// One that would leave most of the room empty is too early.
		if i := strings.LastIndex(text[from:to], mark); i >= 0 && from+i-begin >= (to-begin)/2 {
			return from + i + len(strings.TrimRight(mark, " \n"))
		}
	}
	if i := strings.LastIndexAny(text[from:to], " \n"); i >= 0 {
		return from + i
	}
	return to
}

// runeStart returns the start of the character that byte i belongs to.
func runeStart(text string, i int) int {
	for i > 0 && i < len(text) && !utf8.RuneStart(text[i]) {
		i--
	}
	return i
}

// trimmed leaves the blank lines around a part out, and the blanks behind it.
func trimmed(text string, s Span) Span {
	s.End = s.Start + len(strings.TrimRight(text[s.Start:s.End], " \t\r\n"))
	for {
		line, _, more := strings.Cut(text[s.Start:s.End], "\n")
		if !more || strings.TrimSpace(line) != "" {
			return s
		}
		s.Start += len(line) + 1
	}
}
