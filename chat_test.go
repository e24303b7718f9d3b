package flashback

import (
	"errors"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
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
