package flashback

import (
	"errors"
	"fmt"

	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// ErrOtherTrace says that a trace is not of an answer to the question that it came with.
var ErrOtherTrace = errors.New("the trace is not of an answer to this question")

// Recall has the conversation go on as if the question had just been answered in the way
// that a trace tells, so that Provenance can be asked for of an answer that was written
// before, or elsewhere by the same model. The request is the one that was answered.
// Nothing is computed until it is needed.
func (c *Chat) Recall(question string, r Request, trace Trace) error {
	o, err := c.e.loop(r, true)
	if err == nil {
		err = c.sequence.apply(r)
	}
	if err != nil {
		return err
	}
	text, at, err := c.prompt(question)
	if err != nil {
		return err
	}
	for i, s := range trace.Strides {
		if s.Context != len(text) {
			return fmt.Errorf("%w: its stride %d stands behind %d tokens, not %d", ErrOtherTrace, i, s.Context, len(text))
		}
		if most := 2 * o.K; len(s.Passages) > most { // in a turn, a look-up's stand beside the first ones
			return fmt.Errorf("%w: its stride %d has %d passages, more than %d", ErrOtherTrace, i, len(s.Passages), most)
		}
		for _, token := range s.Tokens {
			if token < 0 || int(token) >= c.e.backend.vocab() {
				return fmt.Errorf("%w: the model has no token %d", ErrOtherTrace, token)
			}
		}
		text = append(text, s.Tokens...)
	}
	kept := common(text, c.sequence.Tokens())
	c.sequence.Truncate(kept)
	if err := c.sequence.Append(text[kept:]...); err != nil {
		return err
	}
	o = c.placed(o, at)
	c.last = answered{c.asks(question), o, trace, c.e.looksIn(r)}
	c.messages = append(c.messages,
		tokenizer.Message{Role: "user", Content: question},
		tokenizer.Message{Role: "assistant", Content: trace.Text()})
	return nil
}
