package flashback

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Message is one message of a conversation; its role is "system", "user" or
// "assistant".
type Message = tokenizer.Message

// Messages returns the conversation so far.
func (c *Chat) Messages() []Message { return slices.Clone(c.messages) }

// SetMessages replaces the conversation so far, as to go on with one that was kept
// elsewhere. What the next prompt repeats of the last one keeps its KV.
func (c *Chat) SetMessages(messages []Message) { c.messages = slices.Clone(messages) }
