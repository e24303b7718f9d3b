package pdf

import (
	"path"
	"regexp"
	"strings"
)

// program is what word processors put before a document's name, which they then
// give as the title.
var program = regexp.MustCompile(`(?i)^(microsoft (office )?(word|excel|powerpoint)|powerpoint|openoffice\.org|libreoffice)[ \t]*[-–—][ \t]*`)

// documentFile is the end of a file's name; a title that has it is that name.
var documentFile = regexp.MustCompile(`(?i)\.(docx?|docm|dotx?|rtf|odt|ods|odp|xlsx?|pptx?|pps|pub|wpd|wps|pages|key|indd|qxd|pmd|fm|tex|dvi|ps|eps|pdf|txt|html?)$`)

// filled are titles that programs fill in when nobody gave one.
var filled = regexp.MustCompile(`(?i)^[(\[<]?(untitled|unnamed|no title|title|unknown|unspecified|anonymous|null|none|undefined|about:blank|new document|(new )?microsoft word document|document|dokument|documento|presentation|powerpoint presentation|slide|scan|scanned document|print|stdin|temp|tmp)[-_ ]?[0-9]*[)\]>]?$`)

// cleanTitle returns the title that a person gave; empty for what a program filled
// in. Of a file's name the folders and the ending are left out.
func cleanTitle(title string) string {
	title = strings.Join(strings.Fields(cleanText(title)), " ")
	title = program.ReplaceAllString(title, "")
	if documentFile.MatchString(title) {
		title = path.Base(strings.ReplaceAll(title, `\`, "/"))
		title = documentFile.ReplaceAllString(title, "")
	}
	if filled.MatchString(title) || !strings.ContainsFunc(title, isLetterOrDigit) {
		return ""
	}
	return title
}

func isLetterOrDigit(r rune) bool { return r != '-' && !notInWord(r) }
