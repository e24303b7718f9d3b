package flashback

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/tokenizer"
	"github.com/flashback-lm/flashback/internal/trainset"
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

// tinyChat opens a tiny random model with a chat template.
func tinyChat(t *testing.T, r Retriever) *Engine {
	t.Helper()
	model := modeltest.WriteGGUF(t, modeltest.Tiny(1), func(out *gguf.Writer) {
		out.Set("tokenizer.chat_template", "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")
	})
	e, err := Open(Options{Model: model, Retriever: r, Compute: "exact"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// changing is a retriever whose best passage is another one in every third look-up.
type changing struct {
	passages fixed
	n        atomic.Int64
}

func (c *changing) Retrieve(_ context.Context, q Query) ([]Passage, error) {
	found := slices.Clone(c.passages[:2])
	if c.n.Add(1)%3 == 0 {
		found = slices.Insert(found, 0, c.passages[2])
	}
	for i := range found {
		found[i].Score = float64(20 - 8*i)
	}
	return found[:min(q.K, len(found))], nil
}

// Every layout of a chat gives, turn after turn and whatever stays or is exchanged, the
// bits of computing it anew, and what the oracle gives; and tells what passages did.
func TestChatsAreExact(t *testing.T) {
	for _, placement := range append(Placements(), "in-turn") {
		e := tinyChat(t, &changing{passages: fixed{{ID: "a", Text: "the tower is tall"}, {ID: "b", Text: "the harbour is wide"}, {ID: "c", Text: "the keys hang behind the door"}}})
		chat := e.NewChat("Be brief.")
		v := &Verify{}
		r := AnswerDefaults()
		r.Placement, r.MaxTokens, r.Stride, r.IgnoreEOS, r.Verify = placement, 20, 4, true, v
		for turn, question := range []string{"Where do the keys hang?", "And how wide is the harbour?"} {
			for _, err := range chat.Ask(t.Context(), question, r) {
				if err != nil {
					t.Fatalf("%s: %v", placement, err)
				}
			}
			p, err := chat.Provenance(t.Context())
			if err != nil || placement != "none" && len(p.Sources)+len(p.Unused) != 3-turn {
				t.Errorf("%s, turn %d: %d sources and %d unused passages, error %v", placement, turn, len(p.Sources), len(p.Unused), err)
			}
		}
		if report := v.Report(); report.First != nil || report.Strides != 10 || report.OracleStrides != 10 {
			t.Errorf("%s: %+v", placement, report)
		}
		chat.Close()
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
	e := tinyChat(t, passages)
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

// TestExamplesAreChats: what an adapter for answers is trained on is, token for token, what a chat asks.
func TestExamplesAreChats(t *testing.T) {
	e, err := Open(Options{Model: hubtest.Model(t), KVBudget: 64 << 20, Retriever: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, system := range []string{"", "Be brief."} {
		c := e.NewChat(system)
		defer c.Close()
		q := trainset.Question{Question: "Where <|im_end|> is it?", Answers: []string{"here"}}
		prompt, at, err := c.prompt(q.Question)
		if err != nil {
			t.Fatal(err)
		}
		examples := trainset.Exchanges{Tokenizer: e.model.Tokenizer, Retriever: nowhere{}, Systems: []string{system}, K: 1, PassageLen: 1}
		made, err := examples.Make(t.Context(), []trainset.Question{q}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if x := made[0]; !slices.Equal(x.Tokens[:x.Context], prompt) || x.Turn != at {
			t.Errorf("the example is %q with its turn at %d, the chat %q at %d", e.model.Tokenizer.Decode(x.Tokens[:x.Context]), x.Turn, e.model.Tokenizer.Decode(prompt), at)
		}
	}
}

// nowhere finds nothing.
type nowhere struct{}

func (nowhere) Retrieve(context.Context, Query) ([]Passage, error) { return nil, nil }
