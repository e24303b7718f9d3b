package flashback

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// TestChatFits fills a conversation until its oldest turns must go, and asks what
// cannot be asked at all.
func TestChatFits(t *testing.T) {
	e, err := Open(Options{Model: hubtest.Model(t), KVBudget: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := e.NewChat("Be brief.")
	defer c.Close()
	long := strings.Repeat("word ", 3000)
	for range 4 {
		c.messages = append(c.messages, tokenizer.Message{Role: "user", Content: long}, tokenizer.Message{Role: "assistant", Content: "Yes."})
	}
	o := ralm.Defaults()
	o.Placement, o.K = placement.Virtual, 2
	prompt, _, err := c.fit("And now?", &o)
	if err != nil {
		t.Fatal(err)
	}
	if c.LeftOut() != 2 || len(c.messages) != 5 || c.messages[0].Role != "system" {
		t.Errorf("%d turns were left out of four of 3,000 words, %d messages stay", c.LeftOut(), len(c.messages))
	}
	if room := c.sequence.MaxContext() - o.K*o.PassageLen - o.MaxTokens; len(prompt) > room {
		t.Errorf("a prompt of %d tokens leaves no room beside %d", len(prompt), room)
	}
	if _, _, err := c.fit(strings.Repeat("word ", 9000), &o); !errors.Is(err, ErrTooLong) {
		t.Errorf("a question longer than the model reads: %v, want ErrTooLong", err)
	}
	if c.LeftOut() != 0 || len(c.messages) != 5 {
		t.Errorf("what could not be asked took %d turns out of the conversation, %d messages stay", c.LeftOut(), len(c.messages))
	}
}

// fixed is a retriever that always finds the same.
type fixed []Passage

func (f fixed) Retrieve(_ context.Context, q Query) ([]Passage, error) {
	return f[:min(q.K, len(f))], nil
}

// An echo in place takes no positions: a turn may fill most of the model's context, and
// all of it but what passages and answer need, and is answered.
func TestLongTurnsAreAnswered(t *testing.T) {
	passages := fixed{{ID: "a", Text: strings.Repeat("the tower ", 40)}, {ID: "b", Text: strings.Repeat("the harbour ", 40)}}
	model := modeltest.WriteGGUF(t, modeltest.Tiny(1), func(out *gguf.Writer) {
		out.Set("tokenizer.chat_template", "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")
	})
	e, err := Open(Options{Model: model, Retriever: passages, Compute: "exact"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	positions := e.Info().Context
	r := AnswerDefaults()
	r.MaxTokens, r.PassageLen, r.Passages, r.Apart, r.IgnoreEOS = 8, 64, 2, new(64), true
	for _, c := range []struct {
		name  string
		share float64 // of the positions that passages and answer leave
	}{{"60 %", .6}, {"all", 1}} {
		chat := e.NewChat("")
		o, err := e.loop(r, true)
		if err != nil {
			t.Fatal(err)
		}
		room := int(c.share * float64(positions-o.Placement.Positions(0, []int{68, 68}, 0)-r.MaxTokens))
		short, _, err := chat.prompt("?")
		if err != nil {
			t.Fatal(err)
		}
		question := strings.Repeat("?", 1+room-len(short)) // a token a byte
		prompt, _, err := chat.fit(question, &o)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(prompt) != room {
			t.Fatalf("%s: the prompt has %d tokens, want %d", c.name, len(prompt), room)
		}
		var trace Trace
		for event, err := range chat.Ask(t.Context(), question, r) {
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			trace.Add(event)
		}
		if f := trace.Finish; f == nil || f.Reason != ralm.Limit || f.Tokens != r.MaxTokens {
			t.Errorf("%s: a turn of %d tokens of %d ended with %+v", c.name, len(prompt), positions, f)
		}
		chat.Close()
	}
}
