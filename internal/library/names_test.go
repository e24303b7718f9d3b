package library

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var hostileNames = map[string]string{
	"report.pdf":                        "report.pdf",
	"":                                  "document",
	"...":                               "document",
	"/":                                 "document",
	"../../etc/passwd":                  "passwd",
	`C:\Users\me\notes.md`:              "notes.md",
	"..\\..\\x.md":                      "x.md",
	".hidden.md":                        "hidden.md",
	"~$open.docx":                       "open.docx",
	".md":                               "md",
	"a\x00b\x1b[31m.md":                 "ab[31m.md",
	"evil\u202Efdp.md":                  "evilfdp.md",
	"line\nbreak\tand\u00a0blank.md":    "line break and blank.md",
	"a<b>c:d\"e|f?g*h.md":               "a_b_c_d_e_f_g_h.md",
	"CON":                               "_CON",
	"con.md":                            "_con.md",
	"Com1.tar.gz":                       "_Com1.tar.gz",
	"lpt9 .txt":                         "_lpt9.txt",
	"console.md":                        "console.md",
	"trailing. . ":                      "trailing",
	"\xff\xfe.md":                       "__.md",
	"Ünïcode – 文書.md":                   "Ünïcode – 文書.md",
	strings.Repeat("é", 300) + ".md.gz": strings.Repeat("é", 97) + ".md.gz",
	"x." + strings.Repeat("y", 300):     "document",
}

func TestCleanName(t *testing.T) {
	for name, want := range hostileNames {
		if got := CleanName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for name := range hostileNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := CleanName(name)
		switch {
		case got == "", got[0] == '.', strings.HasPrefix(got, "~$"), strings.ContainsAny(got, `/\<>:"|?*`), len(got) > maxName+1, !utf8.ValidString(got), !filepath.IsLocal(got), strings.TrimRight(got, ". ") != got:
			t.Errorf("%q becomes %q", name, got)
		case strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Errorf("%q becomes %q, which does not show all that it has", name, got)
		case CleanName(got) != got:
			t.Errorf("%q becomes %q and then %q", name, got, CleanName(got))
		}
	})
}

func TestFreeName(t *testing.T) {
	taken := map[string]bool{}
	for _, want := range []string{"a.md.gz", "a (2).md.gz", "a (3).md.gz"} {
		got := freeName("a.md.gz", func(name string) bool { return taken[foldName(name)] })
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		taken[foldName(strings.ToUpper(got))] = true
	}
}
