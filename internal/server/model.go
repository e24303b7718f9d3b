package server

import (
	"context"
	"iter"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Model is what writes: an engine, by Serve.
type Model interface {
	Info() flashback.Info
	KV() flashback.KVUsage
	// Plan says how a request would be run; its error is the request's.
	Plan(r flashback.Request, chat bool) (flashback.Plan, error)
	Choices(ctx context.Context, r flashback.Request, n int) iter.Seq2[flashback.Choice, error]
	Score(ctx context.Context, r flashback.Request, row func(flashback.Likely, []flashback.Likely)) error
	// NewChat starts a conversation that goes on behind the messages.
	NewChat(messages []flashback.Message) Chat
	Tokens(text string, special bool) []int32
	Text(tokens []int32, special bool) string
	ChatTokens(messages []flashback.Message) ([]int32, error)
}

// Chat is a conversation with a Model.
type Chat interface {
	Choices(ctx context.Context, question string, r flashback.Request, n int) iter.Seq2[flashback.Choice, error]
	// Recall has it go on behind a question that was answered as the trace tells.
	Recall(question string, r flashback.Request, trace flashback.Trace) error
	Provenance(ctx context.Context) (flashback.Provenance, error)
	Close()
}

// Serve returns an engine as a Model.
func Serve(e *flashback.Engine) Model { return engine{e} }

type engine struct{ *flashback.Engine }

// NewChat implements Model.
func (e engine) NewChat(messages []flashback.Message) Chat {
	c := e.Engine.NewChat("")
	c.SetMessages(messages)
	return c
}

// Library has the indexes that requests may look passages up in.
type Library interface {
	// Names returns the names of all.
	Names() []string
	// Acquire returns the indexes of these names, searched as one, as they are now.
	Acquire(names ...string) (Reading, error)
}

// Reading is a state of some indexes for as long as it is not released.
type Reading interface {
	retrieve.Retriever
	retrieve.Neighbours
	retrieve.Coverer
	// Cite returns the index that a passage which was found is of, and its id there.
	Cite(p flashback.Passage) (index, id string)
	Release()
}
