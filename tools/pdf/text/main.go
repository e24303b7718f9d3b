// Command text prints what is read of PDF files: the text of each page, or the time
// that each file took.
//
//	text FILE.pdf
//	text -into FOLDER FILE.pdf...
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/corpus/pdf"
)

func main() {
	log.SetFlags(0)
	into := flag.String("into", "", "write FILE.txt for each to this folder, and print the milliseconds")
	flag.Parse()
	for _, path := range flag.Args() {
		data, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		start := time.Now()
		doc, err := pdf.Read(data, corpus.MaxFile)
		took := time.Since(start)
		if err != nil {
			log.Printf("%s: %v", path, err)
		}
		for _, f := range doc.Faults {
			log.Printf("%s: %v", path, f)
		}
		var text strings.Builder
		for _, p := range doc.Pages {
			fmt.Fprintf(&text, "%s\n\f", p.Text)
		}
		if *into == "" {
			fmt.Print(text.String())
			continue
		}
		base := filepath.Base(path)
		if err := os.WriteFile(filepath.Join(*into, base+".txt"), []byte(text.String()), 0o666); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\t%.1f\t%d\n", base, float64(took.Microseconds())/1000, len(doc.Pages))
	}
}
