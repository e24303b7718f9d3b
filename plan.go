package flashback

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// Plan is a request as an engine will run it, before it does.
type Plan struct {
	Request // with all said that it left open
	// Room is how many tokens a prompt and what is written behind it may have together,
	// beside the passages.
	Room int

	placed placement.Placement
}

// Plan says how the engine would run a request; chat tells whether it is a question. The
// error is what running it would give, whatever its prompt.
func (e *Engine) Plan(r Request, chat bool) (Plan, error) {
	o, err := e.loop(r, chat)
	if err != nil {
		return Plan{}, err
	}
	var trained AdapterInfo
	if r.Adapter != nil {
		trained = r.Adapter.Info()
	}
	r, err = e.resolve(r, trained, chat)
	return Plan{Request: r, Room: e.room(o), placed: o.Placement}, err
}

// room is how many tokens a text may have beside its passages.
func (e *Engine) room(o ralm.Options) int {
	const around = 4 // marks or separators
	passages := slices.Repeat([]int{o.PassageLen + around}, o.K)
	switch o.Placement.Evidence {
	case placement.Nowhere:
		passages = nil
	case placement.BeforeTurn:
		passages = append([]int{o.K * (o.PassageLen + around)}, passages...)
	}
	return e.backend.context() - o.Placement.Positions(0, passages, 0)
}

// KVTokens returns how many tokens' keys and values n texts behind one prompt of so many
// tokens need at most, passages that all are different and pages that are not full
// included.
func (p Plan) KVTokens(prompt, n int) int {
	pages := func(tokens int) int { return (tokens/kvcache.PageTokens + 1) * kvcache.PageTokens }
	text := prompt + p.MaxTokens
	each := pages(p.MaxTokens) + kvcache.PageTokens // a fork copies the page that it goes on in
	if p.placed.Evidence != placement.Nowhere {
		passages, tail, branches := p.Passages, p.placed.Echo, 1
		switch {
		case p.placed.Evidence == placement.BeforeTurn: // the turn is read twice, and so may passages be
			passages, tail = 2*passages, 2*text
		case p.placed.Evidence == placement.AtZero || tail == EchoTurn:
			tail = text
		}
		if !p.placed.SideBySide {
			branches = passages
		}
		each += passages*pages(p.PassageLen+2) + branches*pages(min(tail, 2*text)+p.Stride)
	}
	return pages(prompt) + n*each
}
