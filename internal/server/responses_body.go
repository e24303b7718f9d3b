package server

import (
	"encoding/json"
	"slices"

	"github.com/flashback-lm/flashback"
)

// responseBody is a body of /v1/responses.
type responseBody struct {
	common
	Input           responseInput     `json:"input"`
	Instructions    string            `json:"instructions"`
	MaxOutputTokens *int              `json:"max_output_tokens"`
	TopLogprobs     *int              `json:"top_logprobs"`
	Tools           []searchTool      `json:"tools"`
	ToolChoice      toolChoice        `json:"tool_choice"`
	Include         []string          `json:"include"`
	Metadata        map[string]string `json:"metadata"`
}

// refusedInResponses is what responses refuse of OpenAI's API. Nothing is stored, so that
// nothing can be gone on with by its id.
var refusedInResponses = map[string]refusal{
	"store": {"false"}, "previous_response_id": nil, "conversation": nil, "prompt": nil, "background": {"false"}, "background_options": nil,
	"truncation": {`"disabled"`}, "context_management": {"[]"}, "max_tool_calls": nil, "moderation": nil,
	"reasoning": {"{}", `{"effort":"none"}`, `{"effort":null}`}, "text": {"{}", `{"format":{"type":"text"}}`}, "n": {"1"},
}

// What a body may ask to be told besides.
const (
	includeResults  = "file_search_call.results"
	includeLogprobs = "message.output_text.logprobs"
)

// includes are all that there are: of most there is nothing to be told, ever.
var includes = []string{
	includeResults, includeLogprobs, "reasoning.encrypted_content", "web_search_call.results", "web_search_call.action.sources",
	"code_interpreter_call.outputs", "computer_call_output.output.image_url", "message.input_image.image_url",
}

// responseInput is a text, or the items of a conversation.
type responseInput []message

// inputItem is one of them.
type inputItem struct {
	Type    string          `json:"type"`
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// UnmarshalJSON reads a text or items. What was looked up in earlier turns is no part of
// the conversation: such items may stand there and are not read.
func (in *responseInput) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*in = responseInput{{Role: "user", Content: text}}
		return nil
	}
	var items []inputItem
	if json.Unmarshal(data, &items) != nil {
		return Invalid("input", "input: give a text or a list of messages")
	}
	for _, item := range items {
		switch item.Type {
		case "", "message":
			text, err := item.text()
			if err != nil {
				return err
			}
			*in = append(*in, message{item.Role, text})
		case "file_search_call":
		default:
			return unsupported("input", "input has an item of type %q; this server reads messages", clip(item.Type))
		}
	}
	return nil
}

// text returns the text of a message: a string, or parts of text.
func (item *inputItem) text() (text string, err error) {
	if json.Unmarshal(item.Content, &text) == nil {
		return text, nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(item.Content, &parts) != nil {
		return "", Invalid("input", "the content of a message must be a string or a list of parts of text")
	}
	for _, p := range parts {
		if !slices.Contains([]string{"input_text", "output_text", "text"}, p.Type) {
			return "", unsupported("input", "a message has a part of type %q; this server reads text", clip(p.Type))
		}
		text += p.Text
	}
	return text, nil
}

// searchTool is the tool file_search, the only one that there is.
type searchTool struct {
	Type    string   `json:"type"`
	Stores  []string `json:"vector_store_ids"`
	Results *int     `json:"max_num_results,omitempty"`
}

// UnmarshalJSON reads the tool and refuses what would be looked up otherwise than it says.
func (t *searchTool) UnmarshalJSON(data []byte) error {
	type plain searchTool
	var in struct {
		plain
		Filters json.RawMessage `json:"filters"`
		Ranking struct {
			Ranker    string          `json:"ranker"`
			Threshold float64         `json:"score_threshold"`
			Hybrid    json.RawMessage `json:"hybrid_search"`
		} `json:"ranking_options"`
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := decodeError("tools.", json.Unmarshal(data, &kind)); err != nil {
		return err
	}
	if kind.Type != "file_search" {
		return unsupported("tools", "a tool is of type %q; this server has file_search", clip(kind.Type))
	}
	if err := decodeError("tools.", json.Unmarshal(data, &in)); err != nil {
		return err
	}
	switch {
	case in.Filters != nil && !(refusal{"{}"}).allows(in.Filters):
		return unsupported("tools", "tools: file_search has no filters here")
	case in.Ranking.Ranker != "" && in.Ranking.Ranker != "auto" && in.Ranking.Ranker != "none", in.Ranking.Threshold != 0,
		in.Ranking.Hybrid != nil && !(refusal{"{}"}).allows(in.Ranking.Hybrid):
		return unsupported("tools", "tools: file_search ranks by BM25, and has no ranking_options here")
	case len(in.Stores) == 0:
		return Invalid("tools", "tools: file_search needs vector_store_ids, the names of indexes")
	}
	*t = searchTool(in.plain)
	return whole("tools.max_num_results", t.Results, 1, maxResults, new(int))
}

// toolChoice is auto, required or none, or the tool by its name.
type toolChoice string

// UnmarshalJSON reads a word or an object with the tool's type.
func (c *toolChoice) UnmarshalJSON(data []byte) error {
	var word string
	var named struct {
		Type string `json:"type"`
	}
	switch {
	case json.Unmarshal(data, &word) == nil && slices.Contains([]string{"", "auto", "required", "none"}, word):
		*c = toolChoice(word)
	case json.Unmarshal(data, &named) == nil && named.Type == "file_search":
		*c = "required"
	default:
		return unsupported("tool_choice", "tool_choice: say auto, required, none or file_search")
	}
	return nil
}

// chat returns what the body asks for in the words of a chat, and its conversation.
func (b *responseBody) chat() (*chatBody, []flashback.Message, error) {
	if len(b.Input) == 0 {
		return nil, nil, Invalid("input", "input: give a text or a list of messages")
	}
	for _, what := range b.Include {
		if !slices.Contains(includes, what) {
			return nil, nil, Invalid("include", "include %q: say %s or %s", clip(what), includeResults, includeLogprobs)
		}
	}
	c := &chatBody{common: b.common, Logprobs: slices.Contains(b.Include, includeLogprobs), TopLogprobs: b.TopLogprobs}
	if b.TopLogprobs != nil && *b.TopLogprobs == 0 && !c.Logprobs {
		c.TopLogprobs = nil
	}
	if c.TopLogprobs != nil {
		c.Logprobs = true
	}
	if b.MaxOutputTokens != nil {
		if err := whole("max_output_tokens", b.MaxOutputTokens, 1, 1<<31-1, new(int)); err != nil {
			return nil, nil, err
		}
		c.MaxTokens = b.MaxOutputTokens
	}
	if err := c.Flashback.noOpenWebUI(); err != nil {
		return nil, nil, err
	}
	if err := b.search(&c.Flashback); err != nil {
		return nil, nil, err
	}
	messages := b.Input
	if b.Instructions != "" {
		messages = append(responseInput{{Role: "system", Content: b.Instructions}}, messages...)
	}
	m, err := conversation(messages)
	return c, m, renamed(err, "messages", "input")
}

// search has the tool say what is looked up in.
func (b *responseBody) search(x *extension) error {
	if len(b.Tools) > 1 {
		return Invalid("tools", "tools: name file_search once, with all vector_store_ids")
	}
	if len(b.Tools) == 0 || b.ToolChoice == "none" {
		return nil
	}
	if len(x.Indexes) > 0 {
		return Invalid("tools", "indexes are named twice: by the tool file_search and by flashback.indexes")
	}
	t := b.Tools[0]
	if x.Indexes = t.Stores; t.Results != nil && x.K == nil {
		x.K = new(min(*t.Results, maxPassages)) // a maximum: fewer are allowed
	}
	return nil
}

// renamed returns an error that calls a field as the endpoint does.
func renamed(err error, from, to string) error {
	if e, ok := err.(*Error); ok && e.Param == from {
		e := *e
		e.Param = to
		return &e
	}
	return err
}
