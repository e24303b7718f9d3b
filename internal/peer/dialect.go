package peer

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/flashback-lm/flashback/internal/sample"
)

// dialect is how one kind of server is spoken to.
type dialect interface {
	// look fills in the engine's Info.
	look(ctx context.Context, e *Engine) error
	// compare checks that the peer's tokens of a text are ours, where it can be asked.
	compare(ctx context.Context, e *Engine, text string, tokens []int32) error
	// ask returns where a request goes and its body. The error is ErrUnsupported.
	ask(e *Engine, r *request) (path string, body any, err error)
	// read reads one event of the stream, seen tokens of which had been read before.
	read(data []byte, seen int) (event, error)
}

// tokenizesAs asks at /tokenize, which two kinds have, whether a text's tokens are ours.
func (e *Engine) tokenizesAs(ctx context.Context, body any, text string, tokens []int32) error {
	var reply struct {
		Tokens []int32 `json:"tokens"`
	}
	if err := e.client.Call(ctx, http.MethodPost, "/tokenize", body, &reply); err != nil {
		return err
	}
	if !slices.Equal(reply.Tokens, tokens) {
		return fmt.Errorf("it runs another model than --model: its tokens of %q are %v and ours %v", text, reply.Tokens, tokens)
	}
	return nil
}

// request asks for what follows a prompt.
type request struct {
	prompt   []int32
	n        int // tokens
	sampling sample.Options
	salt     string
	unending bool // it goes on behind the tokens that end a text
	slot     *int // of llama.cpp's, that has the text; nil: not known
	whole    bool // all tokens in one event
}

// event is what came of a stream.
type event struct {
	tokens []int32
	// missing tells that tokens came before these whose ids were not told.
	missing bool
	end     bool // nothing follows
	usage   usage
	slot    *int
}

// usage is what a peer says that a prompt took.
type usage struct {
	told           bool
	prompt, cached int // tokens; cached are among those of the prompt
}

// check refuses what cannot be.
func (u usage) check(prompt int) error {
	if u.told && (u.prompt != prompt || u.cached < 0 || u.cached > prompt) {
		return fmt.Errorf("it says that the prompt had %d tokens, %d of them cached, and %d were sent", u.prompt, u.cached, prompt)
	}
	return nil
}

// seed returns the seed of a stride: another one for each length of the text, since the
// peer starts its random numbers anew with each request.
func (r *request) seed() uint64 { return (r.sampling.Seed + uint64(len(r.prompt))) & math.MaxInt32 }

// checkSampling refuses penalties that ours count over the whole text written, and a
// peer over one stride.
func checkSampling(o sample.Options) error {
	if o.PresencePenalty != 0 || o.FrequencyPenalty != 0 {
		return fmt.Errorf("presence and frequency penalties: %w: it would count one stride's tokens only", ErrUnsupported)
	}
	return nil
}
