// Package peer drives models that other servers run: llama.cpp's, vLLM and SGLang. The
// retrieval loop stays here; what is sent are the token ids of kept text and evidence,
// and the peer's own prefix cache keeps the keys and values of what a prompt has in
// common with the one before. That is how a model beyond one machine is used: an engine
// that computes on many has the weights, and this one says what stands where.
//
// Evidence must stand where its tokens do, one piece of it at a time: placements none,
// prepend and append. Virtual positions, branches that are mixed, adapters, marks and
// probabilities are the own engine's.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ErrUnsupported says that an engine behind HTTP cannot do what was asked.
var ErrUnsupported = errors.New("not done by an engine behind HTTP")

// Error says that a peer failed: it cannot be reached, hangs, breaks off, answers with an
// error, or what it says cannot be.
type Error struct {
	Engine string // kind and address
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return e.Engine + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Options of an engine; Kind and URL are needed.
type Options struct {
	Kind string // one of Kinds
	URL  string // such as http://localhost:8080
	Key  string // sent as a bearer token; "": none
	// Silence is how long a peer may say nothing before it counts as hanging; 0:
	// DefaultSilence. A long prompt is silent while it is read.
	Silence time.Duration
}

// DefaultSilence is how long a peer may say nothing.
const DefaultSilence = 2 * time.Minute

// Kinds are the names of the servers that can be driven.
func Kinds() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.kind)
	}
	return names
}

var dialects = []struct {
	kind string
	dialect
}{{"llamacpp", llamacpp{}}, {"vllm", vllm{}}, {"sglang", sglang{}}}

// ParseOptions reads KIND=URL.
func ParseOptions(s string) (Options, error) {
	kind, address, ok := strings.Cut(s, "=")
	if !ok || !slices.Contains(Kinds(), kind) {
		return Options{}, fmt.Errorf("engine %q: give one of %s, = and its address, such as llamacpp=http://localhost:8080", s, strings.Join(Kinds(), ", "))
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return Options{}, fmt.Errorf("engine %q: %q is no http or https address", s, address)
	}
	return Options{Kind: kind, URL: address}, nil
}

// Info is what a peer says of itself.
type Info struct {
	Kind, URL string
	Model     string // its name there
	Context   int    // positions of a sequence
	Vocab     int    // tokens; the tokenizer's where it does not say
	Slots     int    // sequences at once; 0: it does not say
	// TellsCached: it says how many tokens of a prompt its cache had.
	TellsCached bool
}

// Engine is a server that was found to be what it is named. It is safe for concurrent use.
type Engine struct {
	Info
	dialect dialect
	client  *Client
	silence time.Duration
}

// Tokenizer is the model's, on this side.
type Tokenizer interface {
	Encode(text string) []int32
	Lead() []int32
	Size() int
}

// probeTimeout is how long a peer may take to say what it is, and to answer one token.
const probeTimeout = time.Minute

// sampleText is read to see whether both sides have the same tokens.
const sampleText = "Token 0 of the context isn't evidence;\n\tit is the attention sink. Größe: 10\u202f%"

// Dial asks a server what it is and has it continue a few tokens, so that whatever it
// cannot do is known before anything is written.
func Dial(ctx context.Context, o Options, t Tokenizer) (*Engine, error) {
	e := &Engine{Info: Info{Kind: o.Kind, URL: strings.TrimSuffix(strings.TrimRight(o.URL, "/"), "/v1")}, silence: o.Silence}
	e.client = NewClient(e.URL, o.Key)
	if e.silence == 0 {
		e.silence = DefaultSilence
	}
	for _, d := range dialects {
		if d.kind == o.Kind {
			e.dialect = d.dialect
		}
	}
	if e.dialect == nil {
		return nil, fmt.Errorf("engine %q: there are %s", o.Kind, strings.Join(Kinds(), ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := e.dialect.look(ctx, e); err != nil {
		return nil, e.failed(fmt.Errorf("this is no such server, or it is not ready: %w", err))
	}
	if e.Context < 2 {
		return nil, e.failed(errors.New("it does not say how long a sequence may be"))
	}
	if e.Vocab == 0 {
		e.Vocab = t.Size()
	}
	if t.Size() > e.Vocab {
		return nil, e.failed(fmt.Errorf("it has %d tokens and the tokenizer of --model %d: name the model that it runs", e.Vocab, t.Size()))
	}
	if err := e.dialect.compare(ctx, e, sampleText, t.Encode(sampleText)); err != nil {
		return nil, e.failed(err)
	}
	return e, e.try(ctx, t)
}

// try has the peer write two tokens, to see that their ids come back.
func (e *Engine) try(ctx context.Context, t Tokenizer) error {
	const n = 2
	var sampled []int32
	u, err := e.complete(ctx, &request{prompt: slices.Concat(t.Lead(), t.Encode("One, two,")), n: n}, func(token int32) bool {
		sampled = append(sampled, token)
		return false
	})
	if err == nil && len(sampled) == 0 {
		err = e.failed(errors.New("it wrote nothing when it was asked for two tokens"))
	}
	e.TellsCached = err == nil && u.told
	return err
}

// String names the engine.
func (e *Engine) String() string { return e.Kind + " at " + e.URL }

func (e *Engine) failed(err error) error {
	var already *Error
	if errors.As(err, &already) {
		return err
	}
	return &Error{e.String(), err}
}
