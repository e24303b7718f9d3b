package server

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/placement"
)

// readJSON reads a body that says it is JSON, of so many bytes and within such time as the
// server allows.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Type: invalidRequest, Code: "unsupported_media_type",
			Message: "the body must be JSON: send the header 'Content-Type: application/json'"}
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(s.o.BodyTime)) // where it can be set
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
	control.SetReadDeadline(time.Time{})
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, &Error{Status: http.StatusRequestTimeout, Type: invalidRequest, Code: "timeout", Message: "the body did not come within " + s.o.BodyTime.String()}
		}
		return nil, Invalid("", "the body cannot be read: %v", err)
	}
	return data, nil
}

// decode reads a body of JSON into v. Fields of OpenAI's API that this server does not do
// are refused, by the table of those; fields that it does not know are not looked at, as
// is usual where clients are newer than servers.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, v any, refused map[string]refusal) error {
	data, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return Invalid("", "the body is not a JSON object: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if idle, known := refused[name]; known && !idle.allows(fields[name]) {
			return unsupported(name, "%s is not supported by this server", name)
		}
	}
	return decodeError("", json.Unmarshal(data, v))
}

// decodeError says which field of the body is wrong; inside is the object that it is in.
func decodeError(inside string, err error) error {
	var known *Error
	switch wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case ok:
		field := inside + strings.TrimPrefix(wrong.Field, "common.") // an embedded struct, not a field of the body
		return Invalid(field, "%s: a JSON %s is not what it takes", field, wrong.Value)
	}
	what := cmp.Or(strings.TrimSuffix(inside, "."), "the body")
	return Invalid(strings.TrimSuffix(inside, "."), "%s: %s", what, strings.TrimPrefix(err.Error(), "json: "))
}

// refusal says what a field may say that this server does not do: what asks for nothing.
type refusal []string

// allows reports whether a value asks for nothing.
func (r refusal) allows(value json.RawMessage) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return false
	}
	v := compact.String()
	return v == "null" || slices.Contains(r, v)
}

// What chats and completions refuse of OpenAI's API.
var (
	refusedInChat = map[string]refusal{
		"tools": {"[]"}, "tool_choice": {`"none"`, `"auto"`}, "parallel_tool_calls": {"true", "false"},
		"functions": {"[]"}, "function_call": {`"none"`, `"auto"`},
		"response_format": {`{"type":"text"}`}, "modalities": {`["text"]`}, "audio": nil,
		"web_search_options": nil, "reasoning_effort": {`"none"`}, "verbosity": nil, "store": {"false"},
		"logit_processors": nil, "guided_json": nil, "guided_regex": nil, "guided_choice": nil, "grammar": {`""`}, "json_schema": nil,
	}
	refusedInCompletion = map[string]refusal{
		"suffix": {`""`}, "best_of": {"1"}, "response_format": {`{"type":"text"}`},
		"logit_processors": nil, "guided_json": nil, "guided_regex": nil, "guided_choice": nil, "grammar": {`""`}, "json_schema": nil,
	}
)

// common are the fields that chats and completions share.
type common struct {
	Model string `json:"model"`

	MaxTokens         *int               `json:"max_tokens"`
	Temperature       *float64           `json:"temperature"`
	TopP              *float64           `json:"top_p"`
	TopK              *int               `json:"top_k"`
	MinP              *float64           `json:"min_p"`
	RepetitionPenalty *float64           `json:"repetition_penalty"` // as vLLM calls it
	RepeatPenalty     *float64           `json:"repeat_penalty"`     // as llama.cpp calls it
	RepeatLast        *int               `json:"repeat_last_n"`
	FrequencyPenalty  *float64           `json:"frequency_penalty"`
	PresencePenalty   *float64           `json:"presence_penalty"`
	LogitBias         map[string]float64 `json:"logit_bias"`
	Seed              *int64             `json:"seed"`
	Stop              stops              `json:"stop"`
	N                 *int               `json:"n"`
	IgnoreEOS         bool               `json:"ignore_eos"`
	CacheSalt         string             `json:"cache_salt"` // as vLLM calls it
	Stream            bool               `json:"stream"`
	StreamOptions     *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	Flashback extension `json:"flashback"`
}

// stops are one string or several.
type stops []string

// UnmarshalJSON reads a string, several or null.
func (s *stops) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		if *s = nil; one != "" {
			*s = stops{one}
		}
		return nil
	}
	var several []string
	if json.Unmarshal(data, &several) != nil {
		return Invalid("stop", "stop: give a string or a list of up to %d", maxStops)
	}
	*s = several
	return nil
}

// Bounds of what a request may ask for.
const (
	maxStops     = 16
	maxStopBytes = 1 << 10 // of one
	maxChoices   = 8
	maxLikeliest = 20
	maxBias      = 1024
	maxPassages  = 16
	maxStride    = 1024
	maxExcluded  = 1024
	maxSalt      = 256 // bytes
)

// extension is the object "flashback" of a body: how passages are looked up and shown.
type extension struct {
	Indexes          []string        `json:"indexes"`
	Layout           string          `json:"layout"` // what chats call their placement
	Placement        string          `json:"placement"`
	K                *int            `json:"k"`
	Stride           *int            `json:"stride"`
	QueryLen         *int            `json:"query_len"`
	PassageLen       *int            `json:"passage_len"`
	ContextBudget    *int            `json:"context_budget"`
	Echo             *placement.Echo `json:"echo"`
	MixFactor        *float64        `json:"mix_factor"`
	LookAhead        *int            `json:"look_ahead"`
	Exclude          exclusion       `json:"exclude"`
	OnRetrievalError string          `json:"on_retrieval_error"`
	Cite             string          `json:"cite"`
	OpenWebUI        bool            `json:"openwebui"`
	Influence        bool            `json:"influence"`
	Trace            bool            `json:"trace"`
}

// noOpenWebUI refuses Open WebUI's events, which it reads of chats only.
func (x *extension) noOpenWebUI() error {
	if x.OpenWebUI {
		return Invalid("flashback.openwebui", "flashback.openwebui is for chats: POST /v1/chat/completions")
	}
	return nil
}

// exclusion names passages that are not to be shown.
type exclusion struct {
	IDs     []string `json:"ids"`
	Titles  []string `json:"titles"`
	Sources []string `json:"sources"`
}

// UnmarshalJSON refuses what it does not know: nobody else has this object, so it is a
// mistake.
func (x *extension) UnmarshalJSON(data []byte) error {
	type plain extension
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := decodeError("flashback.", d.Decode((*plain)(x))); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "fail", "continue"}, x.OnRetrievalError) {
		return Invalid("flashback.on_retrieval_error", "flashback.on_retrieval_error %q: say fail or continue", clip(x.OnRetrievalError))
	}
	if !slices.Contains([]string{"", citeAnnotations, citeFooter, citeNone}, x.Cite) {
		return Invalid("flashback.cite", "flashback.cite %q: say annotations, footer or none", clip(x.Cite))
	}
	if x.Layout != "" && x.Placement != "" && x.Layout != x.Placement {
		return Invalid("flashback.layout", "flashback.layout is another word for flashback.placement: say one of them")
	}
	if x.Placement == "" {
		x.Placement = x.Layout
	}
	if n := max(len(x.Exclude.IDs), len(x.Exclude.Titles), len(x.Exclude.Sources)); n > maxExcluded {
		return Invalid("flashback.exclude", "flashback.exclude names %d passages in one way; up to %d can be", n, maxExcluded)
	}
	return nil
}

// whole sets a number that the body names, within bounds.
func whole(param string, value *int, min, max int, set *int) error {
	if value == nil {
		return nil
	}
	if *value < min || *value > max {
		return Invalid(param, "%s %d: must be from %d to %d", param, *value, min, max)
	}
	*set = *value
	return nil
}

// number is whole for numbers that are none.
func number(param string, value *float64, min, max float64, set *float64) error {
	if value == nil {
		return nil
	}
	if !(*value >= min) || *value > max {
		return Invalid(param, "%s %v: must be from %v to %v", param, *value, min, max)
	}
	*set = *value
	return nil
}

// fill sets in a request, whose defaults stand, what the body says.
func (c *common) fill(r *flashback.Request) error {
	x, s := &c.Flashback, &r.Sampling
	for _, err := range []error{
		whole("max_tokens", c.MaxTokens, 0, math.MaxInt32, &r.MaxTokens),
		number("temperature", c.Temperature, 0, 100, &s.Temperature),
		number("top_p", c.TopP, 0, 1, &s.TopP),
		whole("top_k", c.TopK, -1, math.MaxInt32, &s.TopK),
		number("min_p", c.MinP, 0, 1, &s.MinP),
		number("repeat_penalty", c.RepeatPenalty, 0, 100, &s.RepeatPenalty),
		number("repetition_penalty", c.RepetitionPenalty, 0, 100, &s.RepeatPenalty),
		whole("repeat_last_n", c.RepeatLast, 1, math.MaxInt32, &s.RepeatLast),
		number("frequency_penalty", c.FrequencyPenalty, -2, 2, &s.FrequencyPenalty),
		number("presence_penalty", c.PresencePenalty, -2, 2, &s.PresencePenalty),
		whole("flashback.k", x.K, 1, maxPassages, &r.Passages),
		whole("flashback.stride", x.Stride, 1, maxStride, &r.Stride),
		whole("flashback.query_len", x.QueryLen, 1, math.MaxInt32, &r.QueryLen),
		whole("flashback.passage_len", x.PassageLen, 1, math.MaxInt32, &r.PassageLen),
		whole("flashback.context_budget", x.ContextBudget, 0, math.MaxInt32, &r.ContextBudget),
		whole("flashback.look_ahead", x.LookAhead, 0, maxStride, &r.LookAhead),
	} {
		if err != nil {
			return err
		}
	}
	s.TopK = max(0, s.TopK) // some clients say -1 where they mean all
	if c.TopP != nil && *c.TopP == 0 {
		s.TopK = 1 // of no share, the likeliest is left; in a Request 0 is not said
	}
	if s.Seed = nextID(); c.Seed != nil {
		s.Seed = uint64(*c.Seed)
	}
	if len(c.Stop) > maxStops {
		return Invalid("stop", "stop has %d strings; up to %d can be", len(c.Stop), maxStops)
	}
	for _, stop := range c.Stop {
		if len(stop) > maxStopBytes {
			return Invalid("stop", "a string of stop has %d bytes; up to %d can be", len(stop), maxStopBytes)
		}
	}
	r.Stop, r.IgnoreEOS = c.Stop, c.IgnoreEOS
	r.Placement = x.Placement
	if x.Echo != nil {
		r.Echo = new(int(*x.Echo))
	}
	if x.MixFactor != nil {
		if !(*x.MixFactor >= 0) {
			return Invalid("flashback.mix_factor", "flashback.mix_factor %v: must not be negative", *x.MixFactor)
		}
		r.MixFactor = x.MixFactor
	}
	r.ExcludeIDs, r.ExcludeTitles, r.ExcludeSources = x.Exclude.IDs, x.Exclude.Titles, x.Exclude.Sources
	return c.bias(s)
}

// bias reads logit_bias, whose keys are token ids.
func (c *common) bias(s *flashback.Sampling) error {
	if len(c.LogitBias) > maxBias {
		return Invalid("logit_bias", "logit_bias names %d tokens; up to %d can be", len(c.LogitBias), maxBias)
	}
	for key, bias := range c.LogitBias {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 || !(math.Abs(bias) <= 100) {
			return Invalid("logit_bias", "logit_bias %q: %v: give a token's id and a number from -100 to 100", clip(key), bias)
		}
		if s.LogitBias == nil {
			s.LogitBias = map[int32]float64{}
		}
		s.LogitBias[int32(id)] = bias
	}
	return nil
}

// choices returns n.
func (c *common) choices() (int, error) {
	n := 1
	err := whole("n", c.N, 1, maxChoices, &n)
	return n, err
}

// usage reports whether a stream ends with what was used.
func (c *common) usage() bool { return c.StreamOptions != nil && c.StreamOptions.IncludeUsage }

// message is one of a chat's.
type message struct {
	Role    string
	Content string
}

// UnmarshalJSON reads a message whose content is a string or parts of text.
func (m *message) UnmarshalJSON(data []byte) error {
	var in struct {
		Role         string          `json:"role"`
		Content      json.RawMessage `json:"content"`
		ToolCalls    json.RawMessage `json:"tool_calls"`
		FunctionCall json.RawMessage `json:"function_call"`
	}
	if err := decodeError("messages.", json.Unmarshal(data, &in)); err != nil {
		return err
	}
	for name, call := range map[string]json.RawMessage{"tool_calls": in.ToolCalls, "function_call": in.FunctionCall} {
		if !(refusal{"[]"}).allows(call) && call != nil {
			return unsupported("messages", "messages with %s are not supported by this server", name)
		}
	}
	m.Role = in.Role
	if len(in.Content) == 0 || string(in.Content) == "null" || json.Unmarshal(in.Content, &m.Content) == nil {
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(in.Content, &parts) != nil {
		return Invalid("messages", "the content of a message must be a string or a list of parts of type text")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return unsupported("messages", "a message has a part of type %q; this server reads text", clip(p.Type))
		}
		m.Content += p.Text
	}
	return nil
}

// conversation returns the messages as a model takes them: the last is the user's.
func conversation(messages []message) ([]flashback.Message, error) {
	var out []flashback.Message
	for i, m := range messages {
		switch m.Role {
		case "developer": // what newer clients call it
			m.Role = "system"
		case "system", "user", "assistant":
		case "tool", "function":
			return nil, unsupported("messages", "messages of the role %s are not supported by this server", m.Role)
		default:
			return nil, Invalid("messages", "message %d has the role %q: say system, user or assistant", i, clip(m.Role))
		}
		out = append(out, flashback.Message{Role: m.Role, Content: m.Content})
	}
	if len(out) == 0 || out[len(out)-1].Role != "user" {
		return nil, Invalid("messages", "the last of the messages must be the user's: it is what is answered")
	}
	if out[len(out)-1].Content == "" {
		return nil, Invalid("messages", "the last message is empty")
	}
	return out, nil
}

// request resolves a body's request: the adapter and the indexes that it names and the
// key may use, then the defaults, then what it says. The reading, if not nil, is to be
// released.
func (s *Server) request(k *Key, c *common, chat bool) (r flashback.Request, lookUp *lookUp, err error) {
	n, err := s.parseName(k, c.Model)
	if err != nil {
		return r, nil, err
	}
	names := c.Flashback.Indexes
	switch {
	case n.index != "" && len(names) > 0:
		return r, nil, Invalid("flashback.indexes", "indexes are named twice: by the model %q and by flashback.indexes", clip(c.Model))
	case n.index != "":
		names = []string{n.index}
	}
	for i, name := range names {
		if !s.mayLookIn(k, name) {
			return r, nil, NotFound("flashback.indexes", "index_not_found", "there is no index %q", clip(name))
		}
		if slices.Contains(names[:i], name) {
			return r, nil, Invalid("flashback.indexes", "the index %q is named twice", name)
		}
	}
	if len(names) == 0 && c.Flashback.Placement != "" && c.Flashback.Placement != placement.None.Name {
		return r, nil, Invalid("flashback.placement", "placement %s needs passages: name an index, by the model or by flashback.indexes", clip(c.Flashback.Placement))
	}
	adapter := s.o.adapter(n.adapter)
	if n.adapter == "" && chat && len(names) > 0 {
		adapter = s.o.ownAdapter(c.Flashback.Placement)
	}
	r = flashback.Defaults()
	if chat {
		r = flashback.AnswerDefaults()
	}
	budget := r.ContextBudget
	if adapter != nil {
		r = r.Trained(adapter.Info)
		r.Adapter = adapter.Loaded
	}
	if c.Flashback.PassageLen != nil {
		r.ContextBudget = budget
	}
	r.MaxTokens = s.o.MaxTokens
	if err := c.fill(&r); err != nil {
		return r, nil, err
	}
	if !s.o.SharePrompts {
		r.Salt = k.salt()
	}
	if c.CacheSalt != "" {
		if len(c.CacheSalt) > maxSalt {
			return r, nil, Invalid("cache_salt", "cache_salt has %d bytes; up to %d can be", len(c.CacheSalt), maxSalt)
		}
		digest := sha256.Sum256([]byte(r.Salt + "\x00" + c.CacheSalt))
		r.Salt = string(digest[:])
	}
	if len(names) > 0 {
		if lookUp, err = s.look(names, c.Flashback.OnRetrievalError == "continue"); err != nil {
			return r, nil, err
		}
		r.Retriever = lookUp
	}
	return r, lookUp, nil
}

// plan resolves a request and sees that a prompt of so many tokens fits with what is to
// be written behind it.
func (s *Server) plan(r flashback.Request, chat, named bool, prompt int) (flashback.Plan, error) {
	p, err := s.o.Model.Plan(r, chat)
	if errors.Is(err, flashback.ErrUnsupported) {
		return p, unsupported("", "%v", err)
	}
	if err != nil {
		return p, Invalid("", "%v", err)
	}
	least := min(p.MaxTokens, p.Stride) // what is not named may be cut, and the client is told so
	if named {
		least = p.MaxTokens
	}
	if prompt+least > p.Room {
		e := Invalid("messages", "the model has room for %d tokens beside the passages, and this asks for %d: %d of the prompt and %d to be written; shorten one of them",
			p.Room, prompt+least, prompt, least)
		if !chat {
			e.Param = "prompt"
		}
		e.Code = "context_length_exceeded"
		return p, e
	}
	p.MaxTokens = min(p.MaxTokens, p.Room-prompt)
	return p, nil
}

// newID returns an id for what is answered.
func newID(prefix string) string { return fmt.Sprintf("%s%016x", prefix, nextID()) }
