package main

import (
	"context"
	"errors"
	"strings"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// answering answers the questions of an evaluation as `flashback ask` does.
type answering struct {
	engine   *flashback.Engine
	texts    *tokenizer.Tokenizer // the model's
	adapters map[string]*flashback.Adapter
	system   string
	request  flashback.Request // what a row does not name
}

// openAnswering opens the model, the index, if one is named, and the adapters NAME=DIR
// that rows name.
func openAnswering(m modelFlags, index string, adapters []string, rows []eval.QARow) (*answering, error) {
	o := m.options()
	if index != "" {
		o.Indexes = []string{index}
	}
	engine, err := flashback.Open(o)
	if err != nil {
		return nil, err
	}
	a := &answering{engine: engine}
	if a.texts, err = model.LoadTokenizer(engine.Info().Model); err == nil {
		a.adapters, err = openNamed(adapters, plain(rows), engine.LoadAdapter)
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
	if row.NamesK {
		r.Passages = row.K
	} else if r.Adapter != nil && r.Adapter.Info().Passages > 0 {
		r.Passages = r.Adapter.Info().Passages
	}
	if row.Stride > 0 {
		r.Stride = row.Stride
	}
	return r
}

// ask asks one question in a chat of its own.
func (a *answering) ask(ctx context.Context, row eval.QARow, q eval.Question) (eval.Answer, error) {
	r := a.of(row)
	r.Salt = row.String() + " " + q.ID // nothing is kept from others, so that costs do not depend on who was asked before
	question := q.Question
	var answer eval.Answer
	if row.Pasted {
		found, err := a.firstLookUp(ctx, question, r)
		if err != nil {
			return answer, err
		}
		question = a.paste(found, question, r.PassageLen)
		answer.Strides = [][]string{ids(found)}
		r.Placement, r.Stride = "none", r.MaxTokens
	}
	chat := a.engine.NewChat(a.system)
	defer chat.Close()
	var trace flashback.Trace
	for event, err := range chat.Ask(ctx, question, r) {
		if err != nil {
			return answer, err
		}
		trace.Add(event)
	}
	if err := ctx.Err(); err != nil {
		return answer, err // the answer is not whole
	}
	answer.Text = strings.TrimSpace(trace.Text())
	answer.Counts = trace.Finish.Counts
	if !row.Pasted && r.Placement != "none" {
		for _, s := range trace.Strides {
			answer.Strides = append(answer.Strides, ids(s.Passages))
		}
	}
	return answer, nil
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
