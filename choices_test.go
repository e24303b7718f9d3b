package flashback

import (
	"context"
	"math"
	"slices"
	"testing"
)

// Several texts from one prompt are what each is alone, with its seed, and read the prompt
// once.
func TestChoices(t *testing.T) {
	passages := fixed{{ID: "a", Text: "the tower is tall", Score: 2}, {ID: "b", Text: "the harbour is wide", Score: 1}}
	for _, placement := range append(Placements(), "in-turn") {
		e := tinyChat(t, passages)
		r := AnswerDefaults()
		r.Placement, r.MaxTokens, r.Stride, r.IgnoreEOS = placement, 12, 4, true
		r.Sampling = Sampling{Temperature: 1, Seed: 7}
		question := "How tall is the tower, and how wide is the harbour, and what else do you know of this town?"
		alone := func(seed uint64) (tokens []int32) {
			r := r
			r.Sampling.Seed, r.Salt = seed, "alone"
			c := e.NewChat("Be brief.")
			defer c.Close()
			for event, err := range c.Ask(t.Context(), question, r) {
				if err != nil {
					t.Fatal(err)
				}
				if token, ok := event.(Token); ok {
					tokens = append(tokens, token.ID)
				}
			}
			return tokens
		}
		c := e.NewChat("Be brief.")
		got := make([][]int32, 3)
		prompt := 0
		for choice, err := range c.Choices(t.Context(), question, r, 3) {
			if err != nil {
				t.Fatal(err)
			}
			switch event := choice.Event.(type) {
			case Token:
				got[choice.Index] = append(got[choice.Index], event.ID)
			case Finish:
				prompt += event.Counts.Prompt
			}
		}
		for i, tokens := range got {
			if want := alone(7 + uint64(i)); !slices.Equal(tokens, want) {
				t.Errorf("%s: choice %d is %v, alone %v", placement, i, tokens, want)
			}
		}
		if n := c.sequence.Len() - r.MaxTokens; placement == "append" && prompt != n+2 { // each reads the last token itself
			t.Errorf("%s: %d tokens of prompt were computed for three answers to one of %d", placement, prompt, n)
		}
		if m := c.Messages(); len(m) != 3 {
			t.Errorf("%s: the conversation has %d messages", placement, len(m))
		}
		c.Close()
	}
}

// Whoever stops reading ends all of the texts.
func TestChoicesDeserted(t *testing.T) {
	e := tinyChat(t, nil)
	n := 0
	for _, err := range e.Choices(t.Context(), Request{Prompt: "the tower", MaxTokens: 1000, IgnoreEOS: true}, 3) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 10 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := 0
	for choice, err := range e.Choices(ctx, Request{Prompt: "the tower", MaxTokens: 1000, IgnoreEOS: true}, 3) {
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := choice.Event.(Finish); ok {
			ended++
			if f.Reason != "cancelled" {
				t.Errorf("choice %d ended by %s", choice.Index, f.Reason)
			}
		}
		cancel()
	}
	if ended != 3 {
		t.Errorf("%d of 3 told that they were cancelled", ended)
	}
}

// A prompt's tokens are as probable, to the bit, as when they are written.
func TestScoreIsWhatIsWritten(t *testing.T) {
	e := tinyChat(t, nil)
	r := Request{Prompt: "the tower is", MaxTokens: 8, IgnoreEOS: true, Logprobs: true, Likeliest: 3}
	text := e.Tokens(r.Prompt, false)
	from := len(text)
	var written []Token
	for event, err := range e.Stream(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		if token, ok := event.(Token); ok {
			written = append(written, token)
			text = append(text, token.ID)
		}
	}
	n := 0
	err := e.Score(t.Context(), Request{Tokens: text, Likeliest: 3}, func(token Likely, likeliest []Likely) {
		if n++; n < from {
			return
		}
		w := written[n-from]
		if token.ID != w.ID || token.Logprob != w.Logprob || !slices.Equal(likeliest, w.Likeliest) || likeliest[0] != token {
			t.Errorf("token %d: %+v %+v, written %+v", n, token, likeliest, w)
		}
		if !(token.Logprob < 0) || math.IsInf(token.Logprob, 0) {
			t.Errorf("token %d: log-probability %v", n, token.Logprob)
		}
	})
	if err != nil || n != len(text)-1 {
		t.Errorf("%d of %d tokens scored: %v", n, len(text)-1, err)
	}
}
