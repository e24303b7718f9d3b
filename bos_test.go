package flashback_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/checkpoint/gguf"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
)

// queries keeps what it is asked.
type queries struct{ asked []string }

func (q *queries) Retrieve(_ context.Context, query flashback.Query) ([]flashback.Passage, error) {
	q.asked = append(q.asked, query.Text)
	return []flashback.Passage{{ID: "p", Text: "a passage", Score: 1}}, nil
}

// TestBOS writes with a model that reads <end> in front of every text: it stands there
// once, in no query, whether the program, the template or the user wrote it.
func TestBOS(t *testing.T) {
	const template = "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}"
	open := func(template string) (*flashback.Engine, *queries) {
		q := &queries{}
		e, err := flashback.Open(flashback.Options{Retriever: q, Compute: "exact", Model: modeltest.WriteGGUF(t, modeltest.Tiny(1), func(out *gguf.Writer) {
			out.Set("tokenizer.ggml.bos_token_id", uint32(modeltest.EOS))
			out.Set("tokenizer.ggml.add_bos_token", true)
			out.Set("tokenizer.chat_template", template)
		})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e, q
	}
	e, q := open(template)
	request := flashback.Request{Prompt: "keys of", MaxTokens: 20, QueryLen: 64, IgnoreEOS: true}
	read := func(events func(func(flashback.Event, error) bool)) flashback.Trace {
		var trace flashback.Trace
		for event, err := range events {
			if err != nil {
				t.Fatal(err)
			}
			trace.Add(event)
		}
		return trace
	}
	first := func(trace flashback.Trace) (context int, tokens []int32) {
		for _, stride := range trace.Strides {
			tokens = append(tokens, stride.Tokens...)
		}
		return trace.Strides[0].Context, tokens
	}
	context, tokens := first(read(e.Stream(t.Context(), request)))
	if context != 1+len(request.Prompt) || q.asked[0] != request.Prompt || strings.Contains(strings.Join(q.asked, ""), "<end>") {
		t.Errorf("the first stride has %d tokens in front, queries are %q", context, q.asked)
	}
	q.asked = nil
	request.Prompt, request.Special = "<end>keys of", true
	if c, again := first(read(e.Stream(t.Context(), request))); c != context || !slices.Equal(again, tokens) || q.asked[0] != "keys of" {
		t.Errorf("with <end> written out: %d tokens in front, want %d; %v, want %v; query %q", c, context, again, tokens, q.asked[0])
	}
	request.Special = false
	if c, _ := first(read(e.Stream(t.Context(), request))); c != context+len("<end>") {
		t.Errorf("<end> as plain text: %d tokens in front", c)
	}
	sink := int32(3)
	for _, err := range e.Stream(t.Context(), flashback.Request{Prompt: "a", Sink: &sink}) {
		if err == nil || !strings.Contains(err.Error(), "<end>") {
			t.Errorf("a sink beside BOS: %v", err)
		}
	}
	for _, template := range []string{template, strings.TrimPrefix(template, "{{ bos_token }}")} {
		e, _ := open(template)
		chat := e.NewChat("S")
		defer chat.Close()
		for turn, want := range []string{"system:Suser:Q?", ""} {
			if c, _ := first(read(chat.Ask(t.Context(), "Q?", flashback.Request{MaxTokens: 4, IgnoreEOS: true}))); turn == 0 && c != 1+len(want) {
				t.Errorf("template %q: the conversation has %d tokens, want %d", template, c, 1+len(want))
			}
		}
	}
}

// TestTemplate takes another chat template than the model's, and says once that it has no system role.
func TestTemplate(t *testing.T) {
	path := modeltest.WriteGGUF(t, modeltest.Tiny(1))
	var warnings []string
	open := func(template string) (*flashback.Engine, error) {
		warnings = nil
		return flashback.Open(flashback.Options{Model: path, Compute: "exact", Template: template, Warn: func(w string) { warnings = append(warnings, w) }})
	}
	if _, err := open("{% if %}"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a broken template: %v", err)
	}
	for template, want := range map[string]string{
		"{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}":                                     "system:S;user:Q?;",
		"{% for m in messages if m.role == 'user' %}{{ m.role }}:{{ m.content }};{% endfor %}":                 "user:S\n\nQ?;",
		"{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}": "S\n\nQ?",
	} {
		e, err := open(template)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for range 2 {
			chat := e.NewChat("S")
			defer chat.Close()
			for event, err := range chat.Ask(t.Context(), "Q?", flashback.Request{MaxTokens: 2, IgnoreEOS: true}) {
				if err != nil {
					t.Fatal(err)
				}
				if s, ok := event.(flashback.Stride); ok && s.Index == 0 && s.Context != len(want) {
					t.Errorf("%s: the conversation has %d tokens, want %d", template, s.Context, len(want))
				}
			}
		}
		if said := len(warnings) > 0; said != !strings.HasPrefix(want, "system") || len(warnings) > 1 {
			t.Errorf("%s: warnings %q", template, warnings)
		}
	}
}
