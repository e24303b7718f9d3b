package flashback

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// Chat is a conversation whose KV is kept from turn to turn. It is not safe for
// concurrent use.
type Chat struct {
	e        *Engine
	sequence sequence
	messages []tokenizer.Message
	left     int // turns left out by the last question
	last     answered
}

// answered is the last answer and how it came about.
type answered struct {
	asked   string // what was looked up first
	options ralm.Options
	trace   Trace
	from    Retriever // it was looked up there
}

// NewChat starts a conversation; system is the system message, "" for the model's
// own. Where the chat template has none, it stands in front of the first question.
func (e *Engine) NewChat(system string) *Chat {
	c := &Chat{e: e, sequence: e.backend.newSequence()}
	if system != "" {
		if !e.tokenizer.HasSystemRole() {
			e.noSystem()
		}
		c.messages = append(c.messages, tokenizer.Message{Role: "system", Content: system})
	}
	return c
}

// Close gives the conversation's memory back.
func (c *Chat) Close() { c.sequence.Close() }

// LeftOut returns how many turns, the oldest, the last question took out of the
// conversation, which had become too long for the model.
func (c *Chat) LeftOut() int { return c.left }

// Ask asks a question and streams the answer; r.Prompt, r.Tokens and r.Sink are ignored
// (all prompts of a chat template begin with the same token). Passages are
// looked up with the question, then with the question and the last tokens of the
// answer; a question that refers back, with those that it refers to. Where the
// conversation with its passages and the answer would be longer than the model reads,
// the oldest turns are taken out of it: LeftOut tells how many. Virtual evidence is
// read by the whole turn, question and answer so far, unless r.Echo says otherwise.
// Prepended evidence stands in the user's message, before the question, and so does that
// of a first look-up in the turn.
func (c *Chat) Ask(ctx context.Context, question string, r Request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for choice, err := range c.Choices(ctx, question, r, 1) {
			if !yield(choice.Event, err) {
				return
			}
		}
	}
}

// Choices is Ask for n answers to one question, as Engine.Choices is Stream for n texts.
// The conversation goes on with the first.
func (c *Chat) Choices(ctx context.Context, question string, r Request, n int) iter.Seq2[Choice, error] {
	return func(yield func(Choice, error) bool) {
		o, err := c.e.loop(r, true)
		if err == nil {
			err = c.sequence.apply(r)
		}
		if err != nil {
			yield(Choice{}, err)
			return
		}
		prompt, at, err := c.fit(question, &o)
		if err != nil {
			yield(Choice{}, err)
			return
		}
		// What the new prompt repeats of the text so far keeps its KV.
		kept := common(prompt, c.sequence.Tokens())
		c.sequence.Truncate(kept)
		o = c.placed(o, at)
		asked := c.asks(question)
		o.Exchange = exchangeAt
		o.Query = ralm.Question(c.e.tokenizer, asked, o.QueryLen)
		var trace Trace
		failed := false
		begun := make([]bool, n) // answers that have text
		c.e.write(ctx, c.sequence, prompt[kept:], r, o, n, func(choice Choice, err error) bool {
			if err != nil {
				failed = true
				return yield(choice, err)
			}
			if written, ok := choice.Event.(Token); ok && !begun[choice.Index] { // SentencePiece begins words with their blank
				written.Text = strings.TrimPrefix(written.Text, " ")
				begun[choice.Index] = written.Text != ""
				choice.Event = written
			}
			if choice.Index == 0 {
				trace.Add(choice.Event)
			}
			return yield(choice, nil)
		})
		if failed {
			return
		}
		c.last = answered{asked, o, trace, c.e.looksIn(r)}
		c.messages = append(c.messages,
			tokenizer.Message{Role: "user", Content: question},
			tokenizer.Message{Role: "assistant", Content: trace.Text()})
	}
}

// placed says where passages stand in a turn that begins at a token.
func (c *Chat) placed(o ralm.Options, at int) ralm.Options {
	if o.Placement.InText() {
		o.Placement.At, o.Joined, o.Separator = at, true, c.e.tokenizer.EncodeMore("\n\n")
	}
	o.Sink, o.Turn = -1, at
	return o
}

// asks returns what is looked up for a question.
func (c *Chat) asks(question string) string {
	return ralm.InConversation(append(c.questions(), question))
}

// exchangeAt is how many times the score of a passage in sight another must have to take
// its place while an answer is written; docs/answers.md says what was measured.
const exchangeAt = 1.2

// questions returns what the conversation has asked.
func (c *Chat) questions() []string {
	var asked []string
	for _, m := range c.messages {
		if m.Role == "user" {
			asked = append(asked, m.Content)
		}
	}
	return asked
}

// fit is prompt, without the oldest turns where passages and answer would find no
// room. The error is ErrTooLong where the question alone leaves none.
func (c *Chat) fit(question string, o *ralm.Options) (prompt []int32, at int, err error) {
	limit := c.e.room(*o)
	whole := c.messages
	for c.left = 0; ; c.left++ {
		if prompt, at, err = c.prompt(question); err != nil || len(prompt)+o.MaxTokens <= limit {
			return prompt, at, err
		}
		oldest := slices.IndexFunc(c.messages, func(m tokenizer.Message) bool { return m.Role == "user" })
		if oldest < 0 {
			break
		}
		c.messages = slices.Concat(c.messages[:oldest], c.messages[oldest+2:])
	}
	if room := limit - min(o.Stride, o.MaxTokens); len(prompt) > room {
		c.messages, c.left = whole, 0 // what cannot be asked costs nothing
		return nil, 0, fmt.Errorf("%w: the question takes %d tokens and %d are left for it beside the passages: shorten it", ErrTooLong, len(prompt), max(0, room))
	}
	return prompt, at, nil
}

// prompt renders the conversation with the question, up to where the answer
// begins, and finds the token at which the question begins.
func (c *Chat) prompt(question string) (tokens []int32, at int, err error) {
	if question == "" {
		return nil, 0, errors.New("the question is empty")
	}
	messages := append(c.messages[:len(c.messages):len(c.messages)], tokenizer.Message{Role: "user", Content: question})
	return c.e.tokenizer.Question(messages)
}

// common returns the length of the longest common beginning.
func common(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
