package server

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// ollamaBody is what bodies of /api/chat and /api/generate share.
type ollamaBody struct {
	Model     string        `json:"model"`
	Stream    *bool         `json:"stream"` // nil: yes
	Options   ollamaOptions `json:"options"`
	Flashback extension     `json:"flashback"`
}

// ollamaChatBody is a body of /api/chat.
type ollamaChatBody struct {
	ollamaBody
	Messages []ollamaMessage `json:"messages"`
}

// ollamaGenerateBody is a body of /api/generate.
type ollamaGenerateBody struct {
	ollamaBody
	Prompt string `json:"prompt"`
	System string `json:"system"`
	Raw    bool   `json:"raw"`
}

// refusedInOllama is what this server does not do of Ollama's API.
var refusedInOllama = map[string]refusal{
	"tools": {"[]"}, "format": {`""`}, "think": {"false", `""`}, "images": {"[]"}, "suffix": {`""`}, "template": {`""`}, "context": {"[]"},
	"logprobs": {"false"}, "top_logprobs": {"0"}, "width": nil, "height": nil, "steps": nil,
}

// ollamaMessage is one of a chat's.
type ollamaMessage struct{ message }

// UnmarshalJSON reads a message of text.
func (m *ollamaMessage) UnmarshalJSON(data []byte) error {
	var beside struct {
		Images json.RawMessage `json:"images"`
	}
	if err := decodeError("messages.", json.Unmarshal(data, &beside)); err != nil {
		return err
	}
	if beside.Images != nil && !(refusal{"[]"}).allows(beside.Images) {
		return unsupported("messages", "a message has images; this server reads text")
	}
	return json.Unmarshal(data, &m.message)
}

// ollamaOptions say how tokens are chosen. Those about a machine or about loading are the
// server's own and not looked at.
type ollamaOptions struct {
	Temperature      *float64 `json:"temperature"`
	TopP             *float64 `json:"top_p"`
	TopK             *int     `json:"top_k"`
	MinP             *float64 `json:"min_p"`
	RepeatPenalty    *float64 `json:"repeat_penalty"`
	RepeatLast       *int     `json:"repeat_last_n"`
	FrequencyPenalty *float64 `json:"frequency_penalty"`
	PresencePenalty  *float64 `json:"presence_penalty"`
	Seed             *int64   `json:"seed"`
	Stop             stops    `json:"stop"`
	Predict          *int     `json:"num_predict"`
}

// refusedOptions are those that would change what is written, and that this server does
// not do.
var refusedOptions = map[string]refusal{"mirostat": {"0"}, "tfs_z": {"1", "1.0"}, "typical_p": {"1", "1.0"}}

// UnmarshalJSON reads the options.
func (o *ollamaOptions) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return Invalid("options", "options: give an object")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if idle, known := refusedOptions[name]; known && !idle.allows(fields[name]) {
			return unsupported("options."+name, "options.%s is not supported by this server", name)
		}
	}
	type plain ollamaOptions
	return decodeError("options.", json.Unmarshal(data, (*plain)(o)))
}

// wholeText is how far back a penalty reaches that looks at all of a text.
const wholeText = 1 << 30

// common returns what the body asks for in the words of OpenAI's API.
func (b *ollamaBody) common() (*common, error) {
	o := &b.Options
	c := &common{
		Model: ollamaName(b.Model), Stream: b.Stream == nil || *b.Stream, Flashback: b.Flashback,
		Temperature: o.Temperature, TopP: o.TopP, TopK: o.TopK, MinP: o.MinP, RepeatPenalty: o.RepeatPenalty, RepeatLast: o.RepeatLast,
		FrequencyPenalty: o.FrequencyPenalty, PresencePenalty: o.PresencePenalty, Seed: o.Seed, Stop: o.Stop,
	}
	if err := b.Flashback.noOpenWebUI(); err != nil {
		return nil, err
	}
	if o.Predict != nil && *o.Predict >= 0 { // less is as much as the server writes
		c.MaxTokens = o.Predict
	}
	switch {
	case o.RepeatLast == nil:
	case *o.RepeatLast == -1:
		c.RepeatLast = new(wholeText)
	case *o.RepeatLast == 0:
		c.RepeatLast, c.RepeatPenalty = nil, new(1.0)
	}
	return c, nil
}
