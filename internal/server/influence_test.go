package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// What an answer was from is told from its trace; a trace of another one is refused.
func TestInfluence(t *testing.T) {
	m := &fake{text: "it hangs"}
	s := serve(t, m)
	const trace = `"trace": {"strides": [{"stride": 0, "context": 10, "placement": "virtual", "tokens": [105, 116], "text": "it",
		"passages": [{"id": "a", "text": "They hang.", "offset": 0, "score": 2, "evidence_tokens": 5}]}]}`
	var got struct {
		Object    string
		Influence flashback.Provenance
	}
	ask(t, s, 200, "POST", "/v1/influence", `{"model": "tiny@notes", "flashback": {"k": 3}, `+hello+`, `+trace+`}`, &got)
	if got.Object != "flashback.influence" || !got.Influence.Found {
		t.Errorf("the answer is %+v", got)
	}
	if m.request.Passages != 3 || len(m.asked) != 1 || m.asked[0].Content != "Hello" || m.closed != 1 {
		t.Errorf("asked %v with %d passages, closed %d", m.asked, m.request.Passages, m.closed)
	}
	for body, status := range map[string]int{
		`{"model": "tiny@notes", ` + hello + `}`:                                                                                 400,
		`{"model": "tiny@notes", ` + hello + `, "trace": {"strides": []}}`:                                                       400,
		`{"model": "tiny@notes", ` + hello + `, "trace": {"strides": 7}}`:                                                        400,
		`{"model": "tiny@notes", ` + hello + `, ` + strings.Replace(trace, "10,", "11,", 1) + `}`:                                400,
		`{"model": "tiny@notes", "messages": [], ` + trace + `}`:                                                                 400,
		`{"model": "tiny@absent", ` + hello + `, ` + trace + `}`:                                                                 404,
		`{"model": "tiny", "flashback": {"indexes": ["absent"]}, ` + hello + `, ` + trace + `}`:                                  404,
		`{"model": "tiny@notes", "messages": [{"role": "user", "content": "` + strings.Repeat("x", 2000) + `"}], ` + trace + `}`: 400,
	} {
		ask(t, s, status, "POST", "/v1/influence", body, nil)
	}
}

// What is told of an answer afterwards is what would have been told with it.
func TestInfluenceAfterwards(t *testing.T) {
	model := hubtest.Model(t)
	e, err := flashback.Open(flashback.Options{Model: model, KVBudget: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, _ := listen(t, e, func(o *Options) { o.Library = newIndex(t, model) })
	for _, placement := range append(flashback.Placements(), "in-turn") {
		asked := `"model": "tiny@notes", "messages": [{"role": "user", "content": "Where does the spare key hang?"}], "flashback": {"placement": "` + placement + `"`
		var with struct {
			Flashback struct {
				Influence json.RawMessage
				Trace     []json.RawMessage
			}
		}
		ask(t, s, 200, "POST", "/v1/chat/completions", "{"+asked+`, "influence": true, "trace": true}, "max_tokens": 20, "stop": [" door"]}`, &with)
		var after struct{ Influence json.RawMessage }
		ask(t, s, 200, "POST", "/v1/influence", "{"+asked+`}, "trace": `+string(with.Flashback.Trace[0])+"}", &after)
		if string(after.Influence) != string(with.Flashback.Influence) {
			t.Errorf("placement %s: with the answer %s\nafterwards %s", placement, with.Flashback.Influence, after.Influence)
		}
	}
	idle(t, s, e)
}
