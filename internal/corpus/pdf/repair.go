package pdf

import (
	"bytes"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

var (
	objectStart = regexp.MustCompile(`(?:^|[\r\n \t\x00])(\d{1,7})[ \t\r\n]+(\d{1,5})[ \t\r\n]+obj\b`)
	isCatalog   = regexp.MustCompile(`/Type[ \t\r\n]*/Catalog\b`)
	isPage      = regexp.MustCompile(`/Type[ \t\r\n]*/Page\b`)
)

// maxDictionary is how far a catalog or page is read for what it is.
const maxDictionary = 4 << 10

// repairs yields what may make a file readable whose end is lost, with the trailer
// that says where the catalog is: a trailer for the catalog, if that is there, and a
// catalog with all pages, in the order of the file. PDFium finds the objects itself.
func repairs(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var catalog string
		var pages []string
		last := 0
		for _, at := range objectStart.FindAllSubmatchIndex(data, -1) {
			number, _ := strconv.Atoi(string(data[at[2]:at[3]]))
			last = max(last, number)
			ref := fmt.Sprintf("%d %s R", number, data[at[4]:at[5]])
			body := data[at[1]:min(at[1]+maxDictionary, len(data))]
			for _, end := range []string{"endobj", "stream"} {
				body, _, _ = bytes.Cut(body, []byte(end))
			}
			switch {
			case isCatalog.Match(body):
				catalog = ref
			case isPage.Match(body):
				pages = append(pages, ref)
			}
		}
		with := func(format string, values ...any) []byte {
			return append(bytes.Clone(data), "\nendstream\nendobj\n"+fmt.Sprintf(format, values...)+"\nstartxref\n0\n%%EOF\n"...)
		}
		if catalog != "" && !yield(with("trailer\n<< /Root %s >>", catalog)) {
			return
		}
		if len(pages) > 0 {
			yield(with("%[1]d 0 obj\n<< /Type /Pages /Kids [%[2]s] /Count %[3]d >>\nendobj\n"+
				"%[4]d 0 obj\n<< /Type /Catalog /Pages %[1]d 0 R >>\nendobj\ntrailer\n<< /Root %[4]d 0 R >>",
				last+1, strings.Join(pages, " "), len(pages), last+2))
		}
	}
}
