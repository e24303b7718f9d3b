// Inputs prints the texts of the committed Lucene fixtures, from Go's own
// documentation: the words to analyse, the passages to index, or the queries.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
)

// odd are tokens that a wrong word break rule, possessive or stemmer betrays.
var odd = []string{
	"O'Neil's dog's dogs' it's ＇s l’été’s", "e.g. i.e. U.S.A. a.b.c x.y. 3.14 1,000,000 1,a 3.a v1.2.3", "foo_bar __init__ _ __ a_ _1 x_1.5",
	"C++ C# F# .NET node.js user@example.com http://example.com/a?b=c#d", "don't can't o'clock rock'n'roll 'quoted' ''", "naïve café Ünïcödé ǅ ß İstanbul ΑΣ",
	"日本語の文章 ひらがな カタカナ ﾊﾝｶｸ 한국어 텍스트", "ภาษาไทย ພາສາລາວ မြန်မာ ខ្មែរ", "עברית צה״ל ג׳ א'ב א\"ב", "العربية ١٢٣ ٣٫١٤ ۱۲۳", "हिन्दी বাংলা தமிழ்",
	"👍 👍🏽 👨‍👩‍👧 🇩🇪🇫🇷 1️⃣ #️⃣ ☎️ ™ © 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a\u00adb zero\u200bwidth join\u200der e\u0301tude", "eed eeds ies sses s ss sky skies dying", "x² ½ Ⅻ ① ㎏", "\U0001d400\U0001d401 \U00020000",
	strings.Repeat("a", 255) + " " + strings.Repeat("b", 256), strings.Repeat("ab1", 200), strings.Repeat("é", 300), strings.Repeat("x.", 200), strings.Repeat("\U0001d400", 200),
	"the The THE a an and are as at be but by for if in into is it no not of on or such that their then there these they this to was will with",
}

func main() {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		log.Fatal(err)
	}
	var docs []corpus.Document
	for d, err := range corpus.GoDoc(strings.TrimSpace(string(goroot))) {
		if err != nil {
			log.Fatal(err)
		}
		docs = append(docs, d)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch {
	case len(os.Args) == 2 && os.Args[1] == "words":
		words(out, docs)
	case len(os.Args) == 2 && os.Args[1] == "passages":
		passages(docs, func(i int, text string) {
			if i%16 == 0 {
				fmt.Fprintf(out, "p%d\t%s\n", i, text)
			}
		})
	case len(os.Args) == 2 && os.Args[1] == "queries":
		passages(docs, func(i int, text string) {
			if w := strings.Fields(text); i%64 == 8 && len(w) >= 40 {
				fmt.Fprintf(out, "q%d\t%s\n", i, strings.Join(w[16:40], " "))
			}
		})
	default:
		log.Fatal("usage: inputs words | passages | queries")
	}
}

// words prints 5,000 different words, spread over all, and the odd tokens.
func words(out *bufio.Writer, docs []corpus.Document) {
	seen := map[string]bool{}
	for _, d := range docs {
		for w := range strings.FieldsSeq(d.Text) {
			seen[w] = true
		}
	}
	var all []string
	for w := range seen {
		all = append(all, w)
	}
	slices.Sort(all)
	const n = 5000
	for i := range n {
		fmt.Fprintln(out, all[i*len(all)/n])
	}
	for _, s := range odd {
		fmt.Fprintln(out, s)
	}
}

// passages calls f with the documents in pieces of 100 words.
func passages(docs []corpus.Document, f func(i int, text string)) {
	i := 0
	for _, d := range docs {
		w := strings.Fields(d.Text)
		for ; len(w) > 0; w = w[min(len(w), 100):] {
			f(i, strings.Join(w[:min(len(w), 100)], " "))
			i++
		}
	}
}
