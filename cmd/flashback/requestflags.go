package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve/remote"
	"github.com/flashback-lm/flashback/internal/sample"
)

// requestFlags are the flags of commands that write text: one a field of
// flashback.Request.
type requestFlags struct {
	indexes   []string
	retriever string // instead of them
	adapter   adapterFlag
	flashback.Request
	chat  bool // it answers a question
	echo  string
	apart int
	sink  int
}

// newRequestFlags gives the command the flags, with these defaults; chat says whether
// it answers questions.
func newRequestFlags(cmd *cobra.Command, defaults flashback.Request, chat bool) *requestFlags {
	f := &requestFlags{Request: defaults, chat: chat}
	f.MixFactor = new(*defaults.MixFactor)
	f.adapter.add(cmd, chat)
	fs := cmd.Flags()
	fs.StringArrayVar(&f.indexes, "index", nil, "the index `DIR` that passages are looked up in (repeatable: several are searched as one)")
	fs.StringVar(&f.retriever, "retriever", "", "the `URL` of a service that looks passages up, instead of --index")
	fs.StringVar(&f.Placement, "placement", "", map[bool]string{
		false: "where passages stand: virtual, append, prepend or none (default virtual; none without an index)",
		true:  "where passages stand: virtual, append, prepend, in-turn or none (default virtual; none without an index)",
	}[chat])
	what := "context tokens that append (default 0) or virtual (default 1) encodes again in sight of the passages"
	if chat {
		what = "tokens that append (default 0) or virtual (default turn: question and answer so far) encodes again in sight of the passages"
	}
	fs.StringVar(&f.echo, "echo", "", what)
	fs.IntVar(&f.apart, "apart", 0, map[bool]string{
		false: "positions from the end of a virtual passage to that of the next worse one, further in front (default 0)",
		true:  "positions from the end of a virtual passage to that of the next worse one, further in front (default 256)",
	}[chat])
	fs.IntVarP(&f.Passages, "k", "k", defaults.Passages, "passages a retrieval")
	fs.IntVar(&f.Stride, "stride", defaults.Stride, "tokens from one retrieval to the next")
	fs.IntVar(&f.QueryLen, "query-len", defaults.QueryLen, "last tokens of the text that make a query")
	fs.IntVar(&f.PassageLen, "passage-len", defaults.PassageLen, "tokens at which a passage is cut")
	fs.IntVar(&f.ContextBudget, "context-budget", defaults.ContextBudget, "tokens of all passages of a retrieval: each gets the same share, up to --passage-len, and shorter ones are joined with what stands around them; 0: none is joined")
	fs.Float64Var(f.MixFactor, "mix-factor", *defaults.MixFactor, "weighs several passages by softmax(factor · score / best score), for append and prepend")
	fs.IntVar(&f.sink, "sink", -1, "token `ID` put first in the text, for models without a BOS of their own; -1: none")
	fs.StringArrayVar(&f.ExcludeIDs, "exclude-id", nil, "never show the passage with this id (repeatable)")
	fs.StringArrayVar(&f.ExcludeTitles, "exclude-title", nil, "never show passages of this title (repeatable)")
	fs.IntVar(&f.MaxTokens, "tokens", defaults.MaxTokens, "tokens to write at most")
	fs.StringArrayVar(&f.Stop, "stop", nil, "end the text before this string (repeatable)")
	fs.BoolVar(&f.IgnoreEOS, "ignore-eos", false, "write on behind the tokens that end a text or a turn")
	fs.IntVar(&f.LookAhead, "look-ahead", defaults.LookAhead, "tokens to guess at once by copying from passages and text, 0: as many as pay on the device, -1: none; changes speed only")
	s, d := &f.Sampling, defaults.Sampling
	fs.Float64Var(&s.Temperature, "temperature", d.Temperature, "how freely a token is drawn; 0: always the likeliest")
	fs.IntVar(&s.TopK, "top-k", d.TopK, "draw among the k likeliest tokens; 0: all")
	fs.Float64Var(&s.TopP, "top-p", d.TopP, "draw among the likeliest tokens that share this probability; 1: all, 0: the likeliest alone")
	fs.Float64Var(&s.MinP, "min-p", d.MinP, "draw among tokens at least this times as likely as the best; 0: all")
	fs.Float64Var(&s.RepeatPenalty, "repeat-penalty", d.RepeatPenalty, "hold back tokens that stand in the last --repeat-last of the text; 1: do not")
	fs.IntVar(&s.RepeatLast, "repeat-last", d.RepeatLast, "last tokens of the text that --repeat-penalty looks at")
	fs.Uint64Var(&s.Seed, "seed", 0, "seed of the random numbers")
	return f
}

// request returns what the flags say, or a usage error; remote tells whether another
// server runs the model.
func (f *requestFlags) request(cmd *cobra.Command, remote bool) (flashback.Request, error) {
	r := f.Request
	if remote && r.Placement == "" && f.retrieves() {
		r.Placement = flashback.EnginePlacement
	}
	if err := f.adapter.read(); err != nil {
		return r, err
	}
	// What the adapter was trained for goes before what the command does otherwise.
	trained := r.Trained(f.adapter.info)
	if !cmd.Flags().Changed("k") {
		r.Passages = trained.Passages
	}
	if !cmd.Flags().Changed("passage-len") {
		r.PassageLen = trained.PassageLen
		if !cmd.Flags().Changed("context-budget") {
			r.ContextBudget = trained.ContextBudget
		}
	}
	for _, c := range []struct {
		name  string
		value int
	}{
		{"k", r.Passages}, {"stride", r.Stride}, {"query-len", r.QueryLen}, {"passage-len", r.PassageLen}, {"tokens", r.MaxTokens},
	} {
		if c.value < 1 {
			return r, usagef("--%s %d: must be at least 1", c.name, c.value)
		}
	}
	if r.LookAhead < -1 {
		return r, usagef("--look-ahead %d: must be at least 0, or -1 for none", r.LookAhead)
	}
	if r.ContextBudget < 0 {
		return r, usagef("--context-budget %d: must not be negative", r.ContextBudget)
	}
	if !(*r.MixFactor >= 0) {
		return r, usagef("--mix-factor %v: must not be negative", *r.MixFactor)
	}
	if cmd.Flags().Changed("echo") {
		echo, err := placement.ParseEcho(f.echo)
		if err != nil {
			return r, usagef("--%v", err)
		}
		r.Echo = new(int(echo))
	}
	if cmd.Flags().Changed("apart") {
		r.Apart = &f.apart
	}
	r, err := r.Resolve(f.adapter.info, f.retrieves(), f.chat)
	if err != nil {
		return r, usageError{err}
	}
	if !f.retrieves() && r.Placement != placement.None.Name {
		return r, usagef("--placement %s needs passages: name an index with --index or a service with --retriever", r.Placement)
	}
	if cmd.Flags().Changed("sink") {
		sink := int32(f.sink)
		if f.sink < 0 || int(sink) != f.sink {
			return r, usagef("--sink %d: must be a token's id", f.sink)
		}
		r.Sink = &sink
	}
	if cmd.Flags().Changed("top-p") && r.Sampling.TopP == 0 {
		r.Sampling.TopK = 1 // of no share, the likeliest is left; in a Request 0 is not said
	}
	if _, err := sample.New(sample.Options(r.Sampling)); err != nil {
		return r, usageError{err}
	}
	return r, nil
}

// retrieves reports whether there is anything to look passages up in.
func (f *requestFlags) retrieves() bool { return len(f.indexes) > 0 || f.retriever != "" }

// open opens the model with what passages are looked up in, and gives the request
// its adapter.
func (f *requestFlags) open(m *modelFlags, request *flashback.Request) (*flashback.Engine, error) {
	o := m.options()
	o.Indexes = f.indexes
	if f.retriever != "" {
		if len(f.indexes) > 0 {
			return nil, usagef("--index and --retriever: name one of them")
		}
		r, err := remote.New(f.retriever, remote.DefaultTimeout)
		if err != nil {
			return nil, usageError{fmt.Errorf("--retriever: %w", err)}
		}
		o.Retriever = r
	}
	e, err := flashback.Open(o)
	if err != nil {
		return nil, err
	}
	if err := f.adapter.load(e, request); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}
