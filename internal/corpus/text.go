package corpus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// ErrBinary says that a file is no text.
var ErrBinary = errors.New("looks like a binary file, not text")

// decodeText returns data as UTF-8: a byte order mark is dropped, UTF-16 with one
// is decoded, line ends become '\n' and invalid bytes U+FFFD.
func decodeText(data []byte) (string, error) {
	var text string
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		text = decodeUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		text = decodeUTF16(data[2:], binary.BigEndian)
	default:
		if bytes.IndexByte(data[:min(len(data), 8192)], 0) >= 0 {
			return "", ErrBinary
		}
		text = strings.ToValidUTF8(string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), "\ufffd")
	}
	if strings.IndexByte(text, '\r') >= 0 {
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	}
	return text, nil
}

func decodeUTF16(data []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return string(utf16.Decode(units))
}

// parsePlain reads plain text and source code; the title is the file's name.
func parsePlain(f file) (Document, error) {
	text, err := decodeText(f.data)
	return Document{Title: f.name, Text: text}, err
}

// parseMarkdown reads Markdown. The title is the front matter's, else the first
// heading, else the file's name; front matter is not part of the text.
func parseMarkdown(f file) (Document, error) {
	text, err := decodeText(f.data)
	if err != nil {
		return Document{}, err
	}
	doc := Document{Text: text}
	if front, body, ok := frontMatter(text); ok {
		doc.Text, doc.Title = body, frontTitle(front)
	}
	return doc, nil
}

// frontMatter splits off a block between lines of three dashes or pluses that
// opens the text.
func frontMatter(text string) (front, body string, ok bool) {
	for _, fence := range []string{"---\n", "+++\n"} {
		rest, found := strings.CutPrefix(text, fence)
		if !found {
			continue
		}
		if front, body, ok = strings.Cut("\n"+rest, "\n"+fence); ok {
			return front, body, true
		}
		if front, ok = strings.CutSuffix("\n"+rest, "\n"+fence[:3]); ok {
			return front, "", true
		}
	}
	return "", text, false
}

// frontTitle finds "title: …" (YAML) or "title = …" (TOML).
func frontTitle(front string) string {
	for line := range strings.Lines(front) {
		rest, ok := strings.CutPrefix(line, "title")
		rest = strings.TrimSpace(rest)
		if ok && rest != "" && (rest[0] == ':' || rest[0] == '=') {
			return strings.Trim(strings.TrimSpace(rest[1:]), `"'`)
		}
	}
	return ""
}

// firstHeading returns the text of the first '#' heading outside code fences.
func firstHeading(text string) string {
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") || strings.HasPrefix(line, "~~~") {
			fenced = !fenced
		}
		if rest := strings.TrimLeft(line, "#"); !fenced && rest != line && strings.HasPrefix(rest, " ") {
			return strings.TrimSpace(strings.TrimRight(strings.TrimSpace(rest), "#"))
		}
	}
	return ""
}
