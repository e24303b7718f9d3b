package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// answeringFlags are the flags of commands that measure answers.
type answeringFlags struct {
	model          modelFlags
	data           string
	output, graph  string
	system         string
	rows, adapters []string
	atOnce         int
	request        flashback.Request // what a row does not name
	saysLength     bool              // whether the flags say how long passages are
}

// add gives the command the flags, with these rows.
func (f *answeringFlags) add(cmd *cobra.Command, rows []string) {
	f.model.add(cmd)
	addTemplate(cmd.Flags(), &f.model.template)
	f.request = flashback.AnswerDefaults()
	r, fs := &f.request, cmd.Flags()
	fs.StringVar(&f.data, "data", "", "the `FILE` of questions")
	fs.StringSliceVar(&f.rows, "rows", rows, "rows to measure")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "an adapter that rows may name, `NAME=DIR` (repeatable)")
	fs.IntVar(&r.MaxTokens, "tokens", 48, "tokens of an answer at most")
	fs.IntVarP(&r.Passages, "k", "k", r.Passages, "passages a look-up, of rows that name no k")
	fs.IntVar(&r.Stride, "stride", r.Stride, "tokens from one look-up to the next, of rows that name no stride")
	fs.IntVar(&r.QueryLen, "query-len", r.QueryLen, "last tokens of the answer that later look-ups add to the question")
	fs.IntVar(&r.PassageLen, "passage-len", r.PassageLen, "tokens at which a passage is cut")
	fs.IntVar(&r.ContextBudget, "context-budget", r.ContextBudget, "tokens of all passages of a look-up, which share them; shorter ones are joined with what stands around them; 0: none is joined")
	fs.Float64Var(&r.Sampling.RepeatPenalty, "repeat-penalty", r.Sampling.RepeatPenalty, "hold back tokens of the last text; 1: do not")
	fs.StringVar(&f.system, "system", askSystem, "the system `MESSAGE`; empty: the model's own")
	fs.IntVar(&f.atOnce, "at-once", min(4*runtime.NumCPU(), 16), "how many to ask side by side; changes no answer, only times")
	fs.StringVarP(&f.output, "out", "o", "", "keep the answers in this `FILE`.jsonl, and go on from what it has")
	fs.StringVar(&f.graph, "plot", "", "draw the result to this `FILE`.png (or .svg, .pdf)")
}

// check checks the flags and returns the rows.
func (f *answeringFlags) check(cmd *cobra.Command) ([]eval.QARow, error) {
	if f.data == "" {
		return nil, usagef("name the questions with --data")
	}
	for _, c := range []struct {
		name  string
		value int
	}{
		{"tokens", f.request.MaxTokens}, {"k", f.request.Passages}, {"stride", f.request.Stride}, {"query-len", f.request.QueryLen},
		{"passage-len", f.request.PassageLen}, {"at-once", f.atOnce},
	} {
		if c.value < 1 {
			return nil, usagef("--%s %d: must be at least 1", c.name, c.value)
		}
	}
	if f.request.ContextBudget < 0 {
		return nil, usagef("--context-budget %d: must not be negative", f.request.ContextBudget)
	}
	f.saysLength = cmd.Flags().Changed("passage-len") || cmd.Flags().Changed("context-budget")
	rows, err := eval.ParseQARows(f.rows)
	if err != nil {
		return nil, usageError{err}
	}
	return rows, f.model.check()
}

// asSaid is what all answers of a file have in common: how they were made.
type asSaid struct {
	Model, Compute, Data, System                   string
	Tokens, Passages, Stride, QueryLen, PassageLen int
	ContextBudget                                  int
	RepeatPenalty                                  float64
	AtOnce                                         int               // it changes times
	Adapters                                       map[string]string `json:",omitempty"` // digests by name
	KV                                             string            `json:",omitempty"` // where not as the compute says
	Template                                       string            `json:",omitempty"` // SHA-256 of the chat template, where it is not the model's
}

func (f *answeringFlags) said(a *answering) asSaid {
	digests := map[string]string{}
	for name, a := range a.adapters {
		digests[name] = a.Digest()
	}
	info, r := a.engine.Info(), f.request
	template := ""
	if f.model.template != "" {
		template = fmt.Sprintf("%x", sha256.Sum256([]byte(f.model.template)))
	}
	return asSaid{
		filepath.Base(info.Model), info.Compute, filepath.Base(f.data), f.system,
		r.MaxTokens, r.Passages, r.Stride, r.QueryLen, r.PassageLen, r.ContextBudget, r.Sampling.RepeatPenalty, f.atOnce, digests, f.model.kv, template,
	}
}

// answering answers the questions of an evaluation as `flashback ask` does.
type answering struct {
	engine   *flashback.Engine
	texts    *tokenizer.Tokenizer // the model's
	adapters map[string]*flashback.Adapter
	system   string
	request  flashback.Request // what a row does not name
	length   bool              // whether it says how long passages are
	looks    bool              // where answers are from
}

// open opens the model with what passages are looked up in, and the adapters that rows
// name.
func (f *answeringFlags) open(o flashback.Options, rows []eval.QARow) (*answering, error) {
	engine, err := flashback.Open(o)
	if err != nil {
		return nil, err
	}
	a := &answering{engine: engine, system: f.system, request: f.request, length: f.saysLength}
	if a.texts, err = model.LoadTokenizer(engine.Info().Model); err == nil && o.Template != "" {
		a.texts, err = a.texts.WithTemplate(o.Template)
	}
	if err == nil {
		a.adapters, err = openNamed(f.adapters, plain(rows), engine.LoadAdapter)
	}
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return a, nil
}

// Close closes the model and the index.
func (a *answering) Close() error { return a.engine.Close() }

// of returns the request of a row.
func (a *answering) of(row eval.QARow) flashback.Request {
	r := a.request
	r.Placement, r.Adapter = row.Placement.Name, a.adapters[row.Adapter]
	if row.NamesEcho {
		r.Echo = &row.Placement.Echo
	}
	if row.NamesApart {
		r.Apart = &row.Placement.Apart
	}
	if row.NamesK {
		r.Passages = row.K
	} else if r.Adapter != nil && r.Adapter.Info().Passages > 0 {
		r.Passages = r.Adapter.Info().Passages
	}
	if r.Adapter != nil && r.Adapter.Info().PassageLen > 0 && !a.length {
		r.PassageLen, r.ContextBudget = r.Adapter.Info().PassageLen, 0
	}
	if row.Stride > 0 {
		r.Stride = row.Stride
	}
	return r
}

// ask asks one question in a chat of its own.
func (a *answering) ask(ctx context.Context, row eval.QARow, q eval.Question) (eval.Answer, error) {
	chat := a.engine.NewChat(a.system)
	defer chat.Close()
	r := a.of(row)
	r.Salt = row.String() + " " + q.ID // nothing is kept from others, so that costs do not depend on who was asked before
	if q.Excluded != "" {
		r.ExcludeTitles = []string{q.Excluded}
	}
	answer, _, err := a.turn(ctx, chat, row, q.Question, r, nil)
	if err != nil || !a.looks || row.Pasted || row.K == 0 {
		return answer, err
	}
	p, err := chat.Provenance(ctx)
	answer.Refused = new(!p.Found)
	return answer, err
}

// turn asks a question in a chat. Pasted passages are text of the question, without
// those that are there already, by id.
func (a *answering) turn(ctx context.Context, chat *flashback.Chat, row eval.QARow, question string, r flashback.Request, there map[string]bool) (eval.Answer, *flashback.Trace, error) {
	var answer eval.Answer
	if row.Pasted {
		found, err := a.firstLookUp(ctx, question, r)
		if err != nil {
			return answer, nil, err
		}
		answer.Strides = [][]string{ids(found)}
		found = slices.DeleteFunc(found, func(p ralm.Placed) bool { return there[p.ID] })
		whole, err := r.Resolve(flashback.AdapterInfo{}, true, true)
		if err != nil {
			return answer, nil, err
		}
		question = a.paste(found, question, whole.PassageLen)
		r.Placement, r.Stride = "none", r.MaxTokens
	}
	var trace flashback.Trace
	for event, err := range chat.Ask(ctx, question, r) {
		if err != nil {
			return answer, nil, err
		}
		trace.Add(event)
	}
	if err := ctx.Err(); err != nil {
		return answer, nil, err // the answer is not whole
	}
	if len(trace.Strides) == 0 {
		return answer, nil, errors.New("the prompt leaves no room for an answer")
	}
	answer.Text, answer.Tokens, answer.Counts = strings.TrimSpace(trace.Text()), trace.Finish.Tokens, trace.Finish.Counts
	if !row.Pasted && r.Placement != "none" {
		for _, s := range trace.Strides {
			answer.Strides = append(answer.Strides, ids(s.Passages))
		}
	}
	return answer, &trace, nil
}

// firstLookUp returns the passages that a chat shows at first, and computes nothing.
func (a *answering) firstLookUp(ctx context.Context, question string, r flashback.Request) ([]ralm.Placed, error) {
	chat := a.engine.NewChat(a.system)
	defer chat.Close()
	for event, err := range chat.Ask(ctx, question, r) {
		if err != nil {
			return nil, err
		}
		if s, ok := event.(flashback.Stride); ok {
			return s.Passages, nil
		}
	}
	return nil, ctx.Err()
}

// paste puts passages in front of a question, with blank lines between, each as the
// model reads it as evidence and cut where that is.
func (a *answering) paste(found []ralm.Placed, question string, length int) string {
	var b strings.Builder
	for _, p := range found {
		text := p.Evidence()
		if tokens := a.texts.Encode(text); len(tokens) > length {
			text = strings.ToValidUTF8(a.texts.Decode(tokens[:length]), "") // it may be cut inside a character
		}
		b.WriteString(text + "\n\n")
	}
	return b.String() + question
}

func plain(rows []eval.QARow) []eval.Row {
	var all []eval.Row
	for _, r := range rows {
		all = append(all, r.Row)
	}
	return all
}

func ids(passages []ralm.Placed) []string {
	var all []string
	for _, p := range passages {
		all = append(all, p.ID)
	}
	return all
}
