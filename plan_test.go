package flashback

import (
	"errors"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// What a plan says is needed is enough: several texts from one prompt never run out of a
// budget of so many tokens, whatever the placement and however passages change.
func TestPlansSuffice(t *testing.T) {
	path := modeltest.WriteGGUF(t, modeltest.Tiny(1), func(out *gguf.Writer) {
		out.Set("tokenizer.chat_template", "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")
	})
	long := strings.Repeat("the harbour is wide and the tower is tall ", 4)
	passages := &changing{passages: fixed{{ID: "a", Text: "one " + long}, {ID: "b", Text: "two " + long}, {ID: "c", Text: "three " + long}}}
	open := func(budget int64) *Engine {
		e, err := Open(Options{Model: path, Retriever: passages, Compute: "exact", KVBudget: budget})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	large := open(0)
	for _, placement := range append(Placements(), "in-turn") {
		for _, n := range []int{1, 3} {
			r := AnswerDefaults()
			r.Placement, r.MaxTokens, r.Stride, r.IgnoreEOS = placement, 40, 8, true
			r.PassageLen, r.ContextBudget = 64, 128
			question := strings.Repeat("how tall is it? ", 8)
			tokens, err := large.ChatTokens([]Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: question}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := large.Plan(r, true)
			if err != nil {
				t.Fatal(err)
			}
			need := p.KVTokens(len(tokens), n)
			e := open(int64(need * large.engine.KVTokenBytes()))
			c := e.NewChat("Be brief.")
			for _, err := range c.Choices(t.Context(), question, p.Request, n) {
				if err != nil {
					t.Errorf("%s, %d texts: %v, on %d tokens", placement, n, err, need)
				}
			}
			c.Close()
			if peak := e.KV().Peak * PageTokens; peak > need || peak*8 < need {
				t.Errorf("%s, %d texts: %d tokens are planned for, %d were in use at most", placement, n, need, peak)
			}
		}
	}
	if _, err := large.Plan(Request{Tokens: []int32{1 << 20}}, false); err == nil || errors.Is(err, ErrTooLong) {
		t.Errorf("a token that there is not: %v", err)
	}
	if p, err := large.Plan(AnswerDefaults(), true); err != nil || p.Room >= large.Info().Context || p.Room < large.Info().Context/4 {
		t.Errorf("room for %d of %d tokens beside passages: %v", p.Room, large.Info().Context, err)
	}
}
