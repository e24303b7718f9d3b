// Growth prints N passages of 100 words as JSON lines, made of runs of ten words
// from random places of real documents, so that words, their frequencies and
// their neighbours are a language's at any size.
//
//	growth N FILE ... | flashback index - -o big.index --chunk none
//	growth -queries N FILE ...    prints queries of 24 words instead
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
)

func main() {
	queries := flag.Bool("queries", false, "print queries")
	flag.Parse()
	n, err := strconv.Atoi(flag.Arg(0))
	if err != nil || flag.NArg() < 2 {
		log.Fatal("usage: growth [-queries] N FILE ...")
	}
	var words []string
	for _, path := range flag.Args()[1:] {
		for d, err := range corpus.Texts(corpus.Read(context.Background(), path, corpus.Options{})) {
			if err != nil {
				log.Fatal(err)
			}
			words = append(words, strings.Fields(d.Text)...)
		}
	}
	for i, w := range words {
		words[i] = strings.Map(func(r rune) rune {
			if r == '"' || r == '\\' || r < ' ' {
				return -1
			}
			return r
		}, w)
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range n {
		if *queries {
			at := rng.IntN(len(words) - 24)
			fmt.Fprintf(out, "q%d\t%s\n", i, strings.Join(words[at:at+24], " "))
			continue
		}
		fmt.Fprintf(out, `{"id":"g%d","text":"`, i)
		for range 10 {
			at := rng.IntN(len(words) - 10)
			for _, w := range words[at : at+10] {
				out.WriteString(w)
				out.WriteByte(' ')
			}
		}
		out.WriteString("\"}\n")
	}
}
