// Package flashback runs a language model that looks passages up every few
// tokens while it writes. Passages are placed beside the context instead of in
// front of it, so the KV cache of the context survives every retrieval.
//
// Open an Engine, then Stream a continuation or start a Chat:
//
//	e, err := flashback.Open(flashback.Options{Model: "smollm2-135m", Indexes: []string{"docs.index"}})
//	…
//	for event, err := range e.Stream(ctx, flashback.Request{Prompt: "Go's maps are"}) {
//		…
//	}
package flashback

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/peer"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// DefaultModel is the model that is used where none is named.
const DefaultModel = "smollm2-135m"

// Options say what Open opens; the zero value is the default model without
// retrieval.
type Options struct {
	// Model is a known name, hf:owner/name[@rev][:file], a .gguf file or a
	// directory with one; "" is DefaultModel. It must be on this machine:
	// `flashback pull` brings it.
	Model string
	// Indexes are index directories that `flashback index` wrote. Several are searched
	// as one: they need the same analyser, and scores are those of one index of all.
	Indexes []string
	// Retriever is used instead of indexes where it is not nil.
	Retriever Retriever
	// Device is what computes: "cpu", "cuda", or "cuda:N" for the card of a number; "" or
	// "auto" is a card if the program can use one (docs/cuda.md), one is found and the model
	// fits, else the CPU.
	Device string
	// Threads is how many threads compute; 0: one a core.
	Threads int
	// Kernels forces a compute path: "go", on amd64 "avx2", "avx512", "avx512vnni" or "amx", on arm64
	// "neon" or "neondot"; "": the fastest that the processor has. Results of different paths differ
	// in the last bits.
	Kernels string
	// Compute is "exact" (f32 throughout) or "fast" (int8 activations, keys and
	// values in 16 bits); "": the default.
	Compute string
	// Quantize rounds float weights when the model is opened: "q8_0", "q4_0", "q4_k", or ""
	// to leave them as they are stored; "fp8" rounds all matrices on a card.
	Quantize string
	// KV is how keys and values are stored: "f32", "f16", "i16" (integers of 13 bits and
	// a scale for each head) or "q8" (8 bits and a scale for each 32); "": f32 in exact
	// compute, in fast i16 or f16, what the processor multiplies faster.
	KV string
	// KVBudget is the memory for keys and values, in bytes, of kept evidence and kept
	// beginnings too; 0: enough for two full contexts of up to 8192 tokens. Texts that
	// find no room wait for others to end; ErrFull says that this was in vain.
	KVBudget int64
	// Reserve is how many positions a model with learned ones (OPT, GPT-2) keeps free in
	// front of the text for virtual passages; 0: 130. Longer passages are cut to it.
	Reserve int
	// Engine, where its URL is set, is a server that runs the model: Model then gives the
	// tokenizer and the chat template alone. It does placements none, append and prepend, one
	// passage a stride; what else is asked of it is ErrUnsupported, and what fails there an
	// EngineError. Threads, Kernels, Compute, Quantize, KV, KVBudget and Reserve say nothing
	// then.
	Engine EngineOptions
	// Template is the chat template, in Jinja, instead of the model's; "": the model's.
	Template string
	// Warn, if not nil, is told what of the model's file is wrong and was left out, and
	// what of a request cannot be done as it asks.
	Warn func(string)
}

// EngineOptions name a server of llama.cpp, vLLM or SGLang.
type EngineOptions = peer.Options

// What errors of a generation may be.
var (
	// ErrTooLong says that a prompt takes more positions than the model has.
	ErrTooLong = engine.ErrTooLong
	// ErrFull says that keys and values do not fit Options.KVBudget.
	ErrFull = engine.ErrFull
	// ErrNotFinite says that the model's logits are no numbers: a weight is none, mostly.
	ErrNotFinite = engine.ErrNotFinite
)

// Engine is a model, and perhaps indexes, ready to write. It is safe for
// concurrent use.
type Engine struct {
	backend   backend
	model     *model.Model   // nil: the backend has it
	engine    *engine.Engine // the backend, where it is this machine's
	tokenizer *tokenizer.Tokenizer
	path      string // of the model's file
	retriever retrieve.Retriever
	index     *bm25.Several
	locate    []func(source string) string // what finds files, an index each
	warn      func(string)
	noSystem  func() // warns, once, that the chat template has no system role
}

// Open opens the model and the indexes. The error says what is missing and how to
// get it.
func Open(o Options) (*Engine, error) {
	if o.Model == "" {
		o.Model = DefaultModel
	}
	compute, err := engine.ParseCompute(o.Compute)
	if err != nil {
		return nil, err
	}
	found, err := hub.Resolve(o.Model)
	if err != nil {
		return nil, err
	}
	e := &Engine{path: found.Path, retriever: o.Retriever, warn: o.Warn}
	if e.warn == nil {
		e.warn = func(string) {}
	}
	e.noSystem = sync.OnceFunc(func() {
		e.warn("the model's chat template has no system role: the system message stands in front of the first question")
	})
	if o.Engine.URL != "" {
		err = e.dial(o)
	} else {
		err = e.load(o, compute)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	if o.Retriever == nil && len(o.Indexes) > 0 {
		if e.index, err = bm25.OpenAll(o.Indexes, bm25.Options{}); err != nil {
			e.Close()
			return nil, err
		}
		e.retriever = e.index
		for _, p := range e.index.Parts() {
			find, err := collection.Locate(p.Dir, p.Index.Roots())
			if err != nil {
				e.Close()
				return nil, err
			}
			e.locate = append(e.locate, find)
		}
	}
	return e, nil
}

// load binds the model to the engine of this machine.
func (e *Engine) load(o Options, compute engine.Compute) (err error) {
	if e.model, err = model.Load(e.path); err != nil {
		return err
	}
	if o.Quantize != engine.Float8 { // which the card does
		if err := e.model.QuantizeTo(o.Quantize); err != nil {
			return err
		}
	}
	if err := e.read(e.model.Tokenizer, o); err != nil {
		return err
	}
	e.model.Tokenizer = e.tokenizer
	for _, w := range e.model.Warnings {
		e.warn(w)
	}
	e.engine, err = engine.New(&e.model.Weights, engine.Options{Device: o.Device, Float8: o.Quantize == engine.Float8, Threads: o.Threads, Kernels: o.Kernels, Compute: compute, KV: o.KV, KVBudget: o.KVBudget, Reserve: o.Reserve})
	e.backend = local{e.engine}
	return err
}

// dial asks the server that runs the model.
func (e *Engine) dial(o Options) error {
	t, err := model.LoadTokenizer(e.path)
	if err == nil {
		err = e.read(t, o)
	}
	if err != nil {
		return err
	}
	p, err := peer.Dial(context.Background(), o.Engine, e.tokenizer)
	if err != nil {
		return err
	}
	if !p.TellsCached {
		e.warn(p.String() + " does not tell how many tokens its cache had: all of a prompt count as computed")
	}
	e.backend = behindHTTP{p}
	return nil
}

// read takes a tokenizer, with the chat template that the options name.
func (e *Engine) read(t *tokenizer.Tokenizer, o Options) (err error) {
	if o.Template != "" {
		t, err = t.WithTemplate(o.Template)
	}
	e.tokenizer = t
	return err
}

// Close releases the model and the indexes.
func (e *Engine) Close() error {
	if e.engine != nil {
		e.engine.Close()
	}
	var err error
	if e.index != nil {
		err = e.index.Close()
	}
	if e.model != nil {
		err = errors.Join(err, e.model.Close())
	}
	return err
}

// file returns the file of a source, or "" where it is not known.
func (e *Engine) file(source string) string {
	if e.index == nil || source == "" {
		return ""
	}
	part, name, ok := e.index.Of(source)
	if !ok {
		return ""
	}
	return e.locate[part](name)
}

// Info says what an engine runs.
type Info struct {
	Model    string // path of the model file
	Engine   string // the server that runs it; "": this machine
	Family   string // of models: llama, qwen3, …; "" where a server runs it
	Kernels  string // compute path
	Compute  string // how it rounds: exact or fast
	KV       string // how keys and values are stored: f32, f16 or q8
	KVBudget int64  // bytes for keys and values in this process
	Threads  int
	Context  int // longest sequence, in positions
	Vocab    int // tokens
}

// Info returns what the engine runs.
func (e *Engine) Info() Info {
	i := Info{Model: e.path, Context: e.backend.context(), Vocab: e.backend.vocab()}
	e.backend.info(&i)
	return i
}

// Stream writes a continuation of the prompt, one Event after the other: a
// Stride for each retrieval before its Tokens, and a Finish at the end, after a
// cancellation too. An error ends the events. Whoever stops reading ends the
// generation.
func (e *Engine) Stream(ctx context.Context, r Request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for choice, err := range e.Choices(ctx, r, 1) {
			if !yield(choice.Event, err) {
				return
			}
		}
	}
}

// prompt returns the tokens of a request's prompt, without the sink, which may stand
// first in what the user wrote out.
func (e *Engine) prompt(r Request, sink int32) []int32 {
	tokens := r.Tokens
	switch {
	case tokens != nil:
	case !r.Special:
		return e.tokenizer.Encode(r.Prompt)
	default:
		tokens = e.tokenizer.EncodeSpecial(r.Prompt)
	}
	if len(tokens) > 0 && tokens[0] == sink {
		return tokens[1:]
	}
	return tokens
}
