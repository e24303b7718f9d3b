// Command faq answers questions from a folder of documents, one a line of standard
// input:
//
//	go run ./examples/faq ~/notes
//
// It shows all that a program needs of package flashback: BuildIndex, Open,
// NewChat, Ask.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/flashback-lm/flashback"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: faq FOLDER")
	}
	if err := answer(context.Background(), os.Args[1]); err != nil {
		log.Fatal("faq: ", err)
	}
}

// answer indexes the folder and answers the lines of standard input.
func answer(ctx context.Context, folder string) error {
	temp, err := os.MkdirTemp("", "faq")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	index := filepath.Join(temp, "index")
	passages, err := flashback.BuildIndex(ctx, index, flashback.ReadDocuments(folder), flashback.IndexOptions{
		Skipped: func(err error) { log.Print("skipped ", err) },
	})
	if err != nil {
		return err
	}
	e, err := flashback.Open(flashback.Options{Indexes: []string{index}})
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Printf("%d passages; ask a question\n", passages)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "" {
			continue
		}
		if err := ask(ctx, e, lines.Text()); err != nil {
			return err
		}
	}
	return nil
}

// ask answers one question in a chat of its own and names the sources.
func ask(ctx context.Context, e *flashback.Engine, question string) error {
	chat := e.NewChat("Answer the question in one or two sentences, with what the passages say.")
	defer chat.Close()
	r := flashback.AnswerDefaults()
	r.MaxTokens = 64
	for event, err := range chat.Ask(ctx, question, r) {
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case flashback.Token:
			fmt.Print(e.Text)
		case flashback.Finish:
			fmt.Println(e.Text)
		}
	}
	p, err := chat.Provenance(ctx)
	if err != nil {
		return err
	}
	if !p.Found {
		fmt.Println("  It does not seem to be in the documents.")
	}
	for _, s := range p.Sources {
		fmt.Printf("  [%d] %s, %s\n", s.Number, s.Title, s.Source)
	}
	return nil
}
