// Chat asks two questions with sources through openai-go, plain and as a stream.
//
//	go -C tools/clients/go run . MODEL      # OPENAI_BASE_URL and OPENAI_API_KEY say where
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

var questions = []string{"Where does the spare key of the boathouse hang?", "Who may lend it?"}

func main() {
	log.SetFlags(0)
	plain, stream := ask("plain"), ask("stream")
	if !slices.Equal(plain, stream) {
		log.Fatal("the two ways do not write the same")
	}
	build, _ := debug.ReadBuildInfo()
	fmt.Println("ok: openai-go", build.Deps[slices.IndexFunc(build.Deps, func(m *debug.Module) bool { return strings.Contains(m.Path, "openai-go") })].Version)
}

// ask returns the answers.
func ask(how string) (answers []string) {
	ctx, client := context.Background(), openai.NewClient()
	stride := option.WithJSONSet("flashback", map[string]int{"stride": 8})
	var messages []openai.ChatCompletionMessageParamUnion
	for i, question := range questions {
		messages = append(messages, openai.UserMessage(question))
		body := openai.ChatCompletionNewParams{Model: os.Args[1], Messages: messages, MaxTokens: openai.Int(48)}
		var answer *openai.ChatCompletion
		if how == "stream" {
			body.StreamOptions.IncludeUsage = openai.Bool(true)
			var all openai.ChatCompletionAccumulator
			chunks := client.Chat.Completions.NewStreaming(ctx, body, stride)
			sources := 0
			for chunks.Next() {
				chunk := chunks.Current()
				all.AddChunk(chunk)
				for _, choice := range chunk.Choices {
					sources += strings.Count(choice.Delta.JSON.ExtraFields["annotations"].Raw(), `"url_citation":`)
				}
			}
			if err := chunks.Err(); err != nil {
				log.Fatal(err)
			}
			if answer = &all.ChatCompletion; sources == 0 {
				log.Fatal("no sources")
			}
			fmt.Printf("%s, turn %d: %q\n    %d citations\n", how, i+1, strings.TrimSpace(answer.Choices[0].Message.Content), sources)
		} else {
			var err error
			if answer, err = client.Chat.Completions.New(ctx, body, stride); err != nil {
				log.Fatal(err)
			}
			message := answer.Choices[0].Message
			fmt.Printf("%s, turn %d: %q\n", how, i+1, strings.TrimSpace(message.Content))
			if len(message.Annotations) == 0 {
				log.Fatal("no sources")
			}
			shown := map[string]bool{}
			for _, a := range message.Annotations {
				if !shown[a.URLCitation.URL] {
					fmt.Println("   ", a.URLCitation.Title, a.URLCitation.URL)
				}
				shown[a.URLCitation.URL] = true
			}
		}
		text, reused := answer.Choices[0].Message.Content, answer.Usage.PromptTokensDetails.CachedTokens
		fmt.Printf("    %d tokens of the prompt, %d of them reused\n", answer.Usage.PromptTokens, reused)
		if strings.TrimSpace(text) == "" || i > 0 && reused == 0 {
			log.Fatal("no answer, or nothing of the first turn was reused")
		}
		messages = append(messages, openai.AssistantMessage(text))
		answers = append(answers, text)
	}
	return answers
}
