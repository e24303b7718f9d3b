package library

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxName bounds a file's name in bytes, so that a number still fits behind it
// everywhere.
const maxName = 200

// deviceNames are what Windows keeps for itself, with any extension.
var deviceNames = func() map[string]bool {
	names := map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true, "CONIN$": true, "CONOUT$": true}
	for _, n := range "0123456789¹²³" {
		names["COM"+string(n)], names["LPT"+string(n)] = true, true
	}
	return names
}()

// CleanName makes of what somebody calls a file a name that is harmless in any folder of
// any system, on a terminal and in a page: the last part of a path, without what cannot
// be seen, not hidden, never empty. Its extension stays.
func CleanName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r): // controls, what turns the direction of writing, joiners
			return -1
		}
		return r
	}, name)
	// Hidden files and locks of documents that are open are not read (package folder).
	name = strings.TrimRight(strings.TrimLeft(name, ". ~$"), ". ")
	stem, ext := splitName(name)
	for len(stem)+len(ext) > maxName {
		if stem == "" {
			ext = ""
			break
		}
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	if stem = strings.TrimRight(stem, " "); stem == "" {
		stem = "document"
	}
	if device, _, _ := strings.Cut(stem, "."); deviceNames[strings.ToUpper(strings.TrimRight(device, " "))] {
		stem = "_" + stem
	}
	return stem + ext
}

// splitName splits the extension off, with that of a compression.
func splitName(name string) (stem, ext string) {
	ext = path.Ext(name)
	stem = strings.TrimSuffix(name, ext)
	if lower := strings.ToLower(ext); lower == ".gz" || lower == ".zst" {
		inner := path.Ext(stem)
		stem, ext = strings.TrimSuffix(stem, inner), inner+ext
	}
	return stem, ext
}

// freeName returns the name, or the name with a number, that is not taken.
func freeName(name string, taken func(name string) bool) string {
	stem, ext := splitName(name)
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s (%d)%s", stem, n, ext)
	}
	return name
}

// foldName returns what names have in common that some system takes for the same.
func foldName(name string) string { return strings.ToLower(norm.NFC.String(name)) }
