package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What the object "flashback" asks for besides is told: a footer, Open WebUI's events
// instead of annotations, what the answer is from, the trace, and whose stride it was.
func TestExtras(t *testing.T) {
	s := serve(t, &fake{text: "it hangs"})
	body := func(x string) string { return `{"model": "tiny@notes", "flashback": {` + x + `}, ` + hello }
	var whole struct {
		Choices []struct {
			Message struct {
				Content     string
				Annotations []annotation
			}
		}
		Flashback extra
	}
	read := func(asked string) {
		t.Helper()
		whole.Choices, whole.Flashback = nil, extra{}
		if w := post(s, "/v1/chat/completions", asked+"}"); json.Unmarshal(w.Body.Bytes(), &whole) != nil || len(whole.Choices) == 0 {
			t.Fatalf("%s: %d %s", asked, w.Code, w.Body)
		}
	}
	read(body(`"cite": "footer"`))
	address := "http://localhost:8080/v1/vector_stores/notes/passages/psg_"
	want := "it hangs\n\nSources:\n[1] Keys " + address + "a\n[2] b#2 " + address + "b"
	if m := whole.Choices[0].Message; m.Content != want || len(m.Annotations) > 0 {
		t.Errorf("a footer: %q with %d annotations, want %q", m.Content, len(m.Annotations), want)
	}
	read(body(`"cite": "none"`))
	if m := whole.Choices[0].Message; m.Content != "it hangs" || len(m.Annotations) > 0 || len(whole.Flashback.Strides) != 2 {
		t.Errorf("no citations: %q with %d annotations, %d strides", m.Content, len(m.Annotations), len(whole.Flashback.Strides))
	}
	read(body(`"influence": true, "trace": true`))
	if x := whole.Flashback; x.Influence == nil || !x.Influence.Found || len(x.Trace) != 1 || x.Trace[0].Text() != "it hangs" || x.Counts == nil {
		t.Errorf("influence and trace: %+v", x)
	}
	read(body("") + `, "n": 2`)
	var of []int
	for _, stride := range whole.Flashback.Strides {
		of = append(of, stride.Choice)
	}
	if len(whole.Choices) != 2 || !slices.Equal(of, []int{0, 0, 1, 1}) || len(whole.Choices[1].Message.Annotations) != 4 {
		t.Errorf("two choices: %d, strides of %v", len(whole.Choices), of)
	}
	stream := post(s, "/v1/chat/completions", body(`"openwebui": true`)+`, "stream": true}`).Body.String()
	if n := strings.Count(stream, `"type":"source"`); n != 2 || !strings.Contains(stream, "behind the door") || strings.Contains(stream, "url_citation") {
		t.Errorf("Open WebUI gets %d sources of two passages: %s", n, stream)
	}
}

// A completion tells log-probabilities of what it writes, and of the prompt where it is
// echoed: nothing is known of the first token.
func TestCompletionLogprobs(t *testing.T) {
	s := serve(t, &fake{text: "yes"})
	for _, c := range []struct{ asked, text, logprobs, offsets string }{
		{`"prompt": "ab", "logprobs": 1`, "yes", "[-0.5 -0.5 -0.5]", "[0 1 2]"},
		{`"prompt": "ab", "logprobs": 1, "echo": true`, "abyes", "[<nil> -1 -0.5 -0.5 -0.5]", "[0 1 2 3 4]"},
		{`"prompt": [97, 98], "logprobs": 1, "echo": true, "max_tokens": 0`, "ab", "[<nil> -1]", "[0 1]"},
		{`"prompt": ["ab"], "echo": true`, "abyes", "[]", "[]"},
	} {
		for _, stream := range []bool{false, true} {
			w := post(s, "/v1/completions", fmt.Sprintf(`{"model": "tiny", "stream": %v, %s}`, stream, c.asked))
			text, logprobs, offsets := "", []any{}, []int{}
			for _, line := range strings.Split(w.Body.String(), "\n") {
				data := strings.TrimPrefix(line, "data: ")
				if data == "" || data == "[DONE]" {
					continue
				}
				var got struct {
					Choices []struct {
						Text     string
						Logprobs *struct {
							Logprobs []any `json:"token_logprobs"`
							Offsets  []int `json:"text_offset"`
						}
					}
				}
				if err := json.Unmarshal([]byte(data), &got); err != nil {
					t.Fatalf("%v: %s", err, data)
				}
				for _, choice := range got.Choices {
					text += choice.Text
					if choice.Logprobs != nil {
						logprobs, offsets = append(logprobs, choice.Logprobs.Logprobs...), append(offsets, choice.Logprobs.Offsets...)
					}
				}
			}
			if text != c.text || fmt.Sprint(logprobs) != c.logprobs || fmt.Sprint(offsets) != c.offsets {
				t.Errorf("%s, stream %v: %q %v %v, want %q %s %s", c.asked, stream, text, logprobs, offsets, c.text, c.logprobs, c.offsets)
			}
		}
	}
}
