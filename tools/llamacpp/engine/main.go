// Command engine writes the same texts with the engine of this program and with a server
// of llama.cpp's that runs the same file, through the same loop, and says up to which
// token they are equal. Where they part, the margin between the two best tokens is shown:
// a sum in another order turns near-ties over.
//
//	llama-server -m smollm2-f32.gguf -c 4096 -np 1 --cache-ram 0 --port 8099
//	go run ./tools/llamacpp/engine --model smollm2-f32.gguf --engine http://localhost:8099 --index docs.index
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"text/tabwriter"

	"github.com/flashback-lm/flashback"
)

var prompts = []string{
	"The KV cache of the context", "A placement is", "To index a folder,", "The server answers", "An adapter that was trained",
	"When two passages", "Greedy output is", "The fastest kernels",
}

func main() {
	model := flag.String("model", "", "the file that both run")
	url := flag.String("engine", "http://localhost:8080", "llama.cpp's server")
	index := flag.String("index", "", "where passages are looked up")
	tokens := flag.Int("tokens", 64, "tokens of each text")
	placement := flag.String("placement", "append", "append, prepend or none")
	flag.Parse()
	o := flashback.Options{Model: *model, Indexes: []string{*index}, Compute: "exact"}
	own, err := flashback.Open(o)
	if err != nil {
		log.Fatal(err)
	}
	defer own.Close()
	o.Engine = flashback.EngineOptions{Kind: "llamacpp", URL: *url}
	remote, err := flashback.Open(o)
	if err != nil {
		log.Fatal(err)
	}
	defer remote.Close()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "prompt\tequal tokens\tmargin where they part\tcomputed here\tcomputed there\t")
	for _, prompt := range prompts {
		r := flashback.Request{Prompt: prompt, Placement: *placement, MaxTokens: *tokens, IgnoreEOS: true}
		theirs, there, err := write(remote, r)
		if err != nil {
			log.Fatal(err)
		}
		r.Logprobs, r.Likeliest = true, 2
		ours, here, err := write(own, r)
		if err != nil {
			log.Fatal(err)
		}
		n := 0
		for n < min(len(ours), len(theirs)) && ours[n].ID == theirs[n].ID {
			n++
		}
		margin := "-"
		if n < len(ours) {
			margin = fmt.Sprintf("%.4f nats", ours[n].Likeliest[0].Logprob-ours[n].Likeliest[1].Logprob)
		}
		fmt.Fprintf(w, "%s\t%d of %d\t%s\t%d\t%d\t\n", prompt, n, len(ours), margin, computed(here), computed(there))
	}
	w.Flush()
}

func computed(c flashback.Counts) int { return c.Prompt + c.Prefilled + c.Decoded }

func write(e *flashback.Engine, r flashback.Request) (tokens []flashback.Token, counts flashback.Counts, err error) {
	for event, err := range e.Stream(context.Background(), r) {
		if err != nil {
			return nil, counts, err
		}
		switch event := event.(type) {
		case flashback.Token:
			tokens = append(tokens, event)
		case flashback.Finish:
			counts = event.Counts
		}
	}
	return tokens, counts, nil
}
