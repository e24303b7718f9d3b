package server

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestOpenWebUI reads a stream as Open WebUI does (its middleware and its list of
// citations): an object with "event" is one of type "source", whose data
// has texts, and for each of them what it is known by and called; a name gives way to what
// it is known by where that is an address. Chunks without choices are looked at for an error.
func TestOpenWebUI(t *testing.T) {
	w := post(serve(t, &fake{text: "it is under"}), "/v1/chat/completions", `{"model": "tiny@notes", "stream": true, "flashback": {"openwebui": true}, `+hello+`}`)
	type citation struct {
		name, url string
		documents []string
	}
	citations, order, text := map[string]*citation{}, []string{}, ""
	for line := range strings.Lines(w.Body.String()) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Event *struct {
				Type string
				Data struct {
					Type     *string
					Source   struct{ Name, URL string }
					Document []string
					Metadata []struct{ Source, Name string }
				}
			}
			Choices []struct{ Delta struct{ Content string } }
			Error   any
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatal(err)
		}
		if chunk.Error != nil {
			t.Errorf("an error: %s", data)
		}
		for _, c := range chunk.Choices {
			text += c.Delta.Content
		}
		if chunk.Event == nil {
			continue
		}
		e := chunk.Event.Data
		if chunk.Event.Type != "source" || e.Type != nil || len(e.Document) == 0 || len(e.Document) != len(e.Metadata) || len(chunk.Choices) > 0 {
			t.Errorf("no source: %s", data)
			continue
		}
		for i, document := range e.Document {
			m := e.Metadata[i]
			c := citations[m.Source]
			if c == nil {
				c = &citation{name: m.Name, url: e.Source.URL}
				if strings.HasPrefix(m.Source, "http://") || strings.HasPrefix(m.Source, "https://") {
					c.name = m.Source
				}
				citations[m.Source] = c
				order = append(order, m.Source)
			}
			c.documents = append(c.documents, document)
		}
	}
	if text != "it is under" || len(order) != 2 {
		t.Fatalf("%q with the sources %q", text, order)
	}
	first := citations[order[0]]
	if first.name != "Keys" || first.url != "http://localhost:8080/v1/vector_stores/notes/passages/psg_a" || len(first.documents) != 1 || !strings.Contains(first.documents[0], "behind the door") {
		t.Errorf("the first source is shown as %+v", first)
	}
}
