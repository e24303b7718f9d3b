package server

import (
	"sync"

	"github.com/flashback-lm/flashback"
)

// largeText is from how many bytes on texts are tokenized one at a time: 4 MiB of it, as a
// body may have, take seconds of a processor, which those who are being written to need.
const largeText = 256 << 10

// orderly is a model that tokenizes one large text at a time, and small ones at once.
type orderly struct {
	Model
	turn *sync.Mutex
}

// Tokens implements Model.
func (m orderly) Tokens(text string, special bool) []int32 {
	defer m.wait(len(text))()
	return m.Model.Tokens(text, special)
}

// ChatTokens implements Model.
func (m orderly) ChatTokens(messages []flashback.Message) ([]int32, error) {
	bytes := 0
	for _, message := range messages {
		bytes += len(message.Content)
	}
	defer m.wait(bytes)()
	return m.Model.ChatTokens(messages)
}

// wait returns what ends the turn of a text, when it has come.
func (m orderly) wait(bytes int) (done func()) {
	if bytes < largeText {
		return func() {}
	}
	m.turn.Lock()
	return m.turn.Unlock
}
