package flashback_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/flashback-lm/flashback"
)

// The examples that run a model have no expected output, so that they need none
// to be compiled; TestExamples runs them where the default model is.

func ExampleOpen() {
	e, err := flashback.Open(flashback.Options{Model: "smollm2-135m"})
	if err != nil {
		log.Fatal(err) // says how to get what is missing
	}
	defer e.Close()
	info := e.Info()
	fmt.Printf("reads %d tokens with %s kernels on %d threads\n", info.Context, info.Kernels, info.Threads)
}

func ExampleEngine_Stream() {
	e, err := flashback.Open(flashback.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	for event, err := range e.Stream(context.Background(), flashback.Request{Prompt: "One, two, three,", MaxTokens: 16}) {
		if err != nil {
			log.Fatal(err)
		}
		switch event := event.(type) {
		case flashback.Token:
			fmt.Print(event.Text)
		case flashback.Finish:
			fmt.Printf("%s\n%d tokens, ended by %s\n", event.Text, event.Tokens, event.Reason)
		}
	}
}

func ExampleChat_Ask() {
	e, err := flashback.Open(flashback.Options{Retriever: notes{
		"The keys of the north tower hang behind the clock in the kitchen.",
		"The gardener feeds the carp at noon.",
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	chat := e.NewChat("Answer in one sentence.")
	defer chat.Close()
	for _, question := range []string{"Where are the keys?", "And who feeds the carp?"} {
		var trace flashback.Trace
		for event, err := range chat.Ask(context.Background(), question, flashback.Request{MaxTokens: 24}) {
			if err != nil {
				log.Fatal(err)
			}
			trace.Add(event)
		}
		fmt.Println(trace.Text())
		for i, p := range trace.Sources() {
			fmt.Printf("[%d] %s\n", i+1, p.Text)
		}
	}
}

func ExampleBuildIndex() {
	dir, err := os.MkdirTemp("", "notes")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	docs, index := filepath.Join(dir, "docs"), filepath.Join(dir, "index")
	if err := os.Mkdir(docs, 0o755); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(docs, "keys.md"), []byte("# Keys\n\nThey hang behind the clock.\n"), 0o644); err != nil {
		log.Fatal(err)
	}
	n, err := flashback.BuildIndex(context.Background(), index, flashback.ReadDocuments(docs), flashback.IndexOptions{})
	if err != nil {
		log.Fatal(err)
	}
	e, err := flashback.Open(flashback.Options{Indexes: []string{index}})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	fmt.Println("passages:", n)
}

// notes is a retriever of one's own: it counts the words that a note has in
// common with the query.
type notes []string

// Retrieve returns the notes with the most words of the query.
func (ns notes) Retrieve(_ context.Context, q flashback.Query) ([]flashback.Passage, error) {
	var best []flashback.Passage
	for i, note := range ns {
		p := flashback.Passage{ID: fmt.Sprint(i), Text: note}
		for _, word := range strings.Fields(strings.ToLower(q.Text)) {
			if strings.Contains(strings.ToLower(note), strings.Trim(word, "?.,")) {
				p.Score++
			}
		}
		at := 0
		for at < len(best) && best[at].Score >= p.Score {
			at++
		}
		if p.Score > 0 {
			best = append(best[:at], append([]flashback.Passage{p}, best[at:]...)...)
		}
	}
	return best[:min(q.K, len(best))], nil
}

func ExampleRetriever() {
	var retriever flashback.Retriever = notes{
		"The keys of the north tower hang behind the clock in the kitchen.",
		"The gardener feeds the carp at noon.",
	}
	// flashback.Open(flashback.Options{Retriever: retriever}) would answer from it.
	found, err := retriever.Retrieve(context.Background(), flashback.Query{Text: "Who feeds the carp?", K: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range found {
		fmt.Println(p.Text)
	}
	// Output: The gardener feeds the carp at noon.
}
