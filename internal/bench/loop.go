package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// LoopOptions say which strides Loop measures.
type LoopOptions struct {
	Placements []placement.Placement
	Contexts   []int  // kept tokens before the measured stride
	Passages   []int  // passages a stride
	Evidence   int    // tokens of a passage
	Stride     int    // tokens sampled a stride
	Rounds     int    // measurements, of which the median counts
	Step       func() // if not nil, called after each measurement
}

// Row is one measured kind of stride. The token counts are those of one stride.
type Row struct {
	Placement string `json:"placement"`
	Evidence  string `json:"evidence"` // virtual: "cold", each passage new, or "warm", its KV kept; else ""
	Echo      int    `json:"echo"`
	Context   int    `json:"context"`  // kept tokens before the stride
	Passages  int    `json:"passages"` // of the evidence
	Stride    int    `json:"stride"`   // tokens sampled

	MSPerToken    float64 `json:"ms_per_token"` // median of the rounds
	MinMSPerToken float64 `json:"ms_per_token_min"`
	MaxMSPerToken float64 `json:"ms_per_token_max"`
	Rounds        int     `json:"rounds"`
	// RatioToPrepend is how many times as fast as prepending the row is; 0 where
	// prepend was not measured.
	RatioToPrepend float64 `json:"ratio_to_prepend"`

	Prefilled      int `json:"tokens_prefilled"`
	Decoded        int `json:"tokens_decoded"`
	Reused         int `json:"tokens_reused"`
	EvidenceReused int `json:"evidence_reused"`

	// KVPages and KVBytes are what the stride holds at its end: context,
	// evidence and tail.
	KVPages int   `json:"kv_pages"`
	KVBytes int64 `json:"kv_bytes"`
}

// Name returns what tables and plots call the row.
func (r Row) Name() string {
	name := r.Placement
	if r.Evidence != "" {
		name += " " + r.Evidence
	}
	if r.Placement == placement.Append.Name && r.Echo > 0 {
		name += fmt.Sprintf(" echo %d", r.Echo)
	}
	return name
}

// Check says what is wrong with the options for a model whose sequences have up
// to limit positions.
func (o LoopOptions) Check(limit int) error {
	switch {
	case len(o.Placements) == 0 || len(o.Contexts) == 0 || len(o.Passages) == 0:
		return errors.New("nothing to measure: no placement, context or number of passages")
	case o.Evidence < 1 || o.Stride < 1 || o.Rounds < 1 || slices.Min(o.Passages) < 1:
		return errors.New("evidence, stride, rounds and passages must be at least 1")
	case slices.Min(o.Contexts) < o.Stride+2:
		return fmt.Errorf("a context of %d tokens is too short: it ends with a stride of %d and needs two more", slices.Min(o.Contexts), o.Stride)
	}
	echo := 0
	for _, p := range o.Placements {
		echo = max(echo, p.Echo)
	}
	longest := slices.Max(o.Contexts) + slices.Max(o.Passages)*o.Evidence + echo + o.Stride
	if longest > limit {
		return fmt.Errorf("a context of %d tokens with its evidence, echo and stride takes %d positions and the model has %d", slices.Max(o.Contexts), longest, limit)
	}
	return nil
}

// Measurements returns how often Loop calls Step.
func (o LoopOptions) Measurements() int {
	n := 0
	for i := range o.Passages {
		n += len(o.kinds(i))
	}
	return n * len(o.Contexts) * o.Rounds
}

// kind is a row before it is measured.
type kind struct {
	placement placement.Placement
	passages  int
	warm      bool
}

// kinds returns the rows with the nth number of passages. Placements without
// evidence are measured with the first one only.
func (o LoopOptions) kinds(nth int) []kind {
	var kinds []kind
	for _, p := range o.Placements {
		switch {
		case p.EvidenceSees == placement.SeesSink:
			kinds = append(kinds, kind{p, o.Passages[nth], false}, kind{p, o.Passages[nth], true})
		case p.Evidence != placement.Nowhere:
			kinds = append(kinds, kind{p, o.Passages[nth], false})
		case nth == 0:
			kinds = append(kinds, kind{p, 0, false})
		}
	}
	return kinds
}

// Loop measures strides of the retrieval loop: each starts with exactly the
// context's tokens, the last of which were sampled by a stride before, so that
// they must be encoded again without the evidence that they saw. The rounds
// interleave the placements. The counted tokens are checked against the placement
// table. On an error the rows of the contexts that were finished are returned
// with it.
func Loop(ctx context.Context, w *model.Weights, eo engine.Options, text *Text, o LoopOptions) ([]Row, error) {
	if err := o.Check(w.Config.Context); err != nil {
		return nil, err
	}
	tokens, err := text.Take(slices.Max(o.Contexts))
	if err != nil {
		return nil, err
	}
	most, cold := slices.Max(o.Passages), 0
	for _, k := range o.Passages {
		cold += k * o.Rounds
	}
	passages, err := text.Passages(most+cold, o.Evidence)
	if err != nil {
		return nil, err
	}
	if eo.KVBudget == 0 {
		eo.KVBudget = o.kvBudget(w.Config, len(passages))
	}
	var rows []Row
	for _, length := range o.Contexts {
		l := &loop{o: o, warm: passages[:most], cold: passages[most:]}
		if l.e, err = engine.New(w, eo); err != nil { // nothing kept from the last length
			return rows, err
		}
		measured, err := l.measure(ctx, tokens[:length])
		l.e.Close()
		if err != nil {
			return rows, err
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

// kvBudget returns the bytes that the longest context's strides and all kept
// passages take at most, so that no kept passage is dropped in between.
func (o LoopOptions) kvBudget(c model.Config, passages int) int64 {
	context, k := slices.Max(o.Contexts), slices.Max(o.Passages)
	own := kvcache.Blocks(o.Evidence) + kvcache.Blocks(o.Stride) + 4
	pages := kvcache.Blocks(context) // the shared context
	pages += k * (kvcache.Blocks(context+o.Evidence+o.Stride) + own)
	pages += passages*kvcache.Blocks(o.Evidence) + len(o.Placements)*len(o.Passages)*2*own
	return int64(pages) * pageBytes(c)
}

func pageBytes(c model.Config) int64 {
	shape := kvcache.Shape{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim}
	return kvcache.PageTokens * int64(shape.TokenBytes())
}

// loop measures one length of context.
type loop struct {
	o          LoopOptions
	e          *engine.Engine
	warm, cold [][]int32 // passages that unmeasured strides see, and new ones
}

func (l *loop) measure(ctx context.Context, tokens []int32) ([]Row, error) {
	// The context is encoded once and shared; a last stride is sampled without
	// evidence for the placement that keeps nothing.
	shared := l.e.NewSequence()
	defer shared.Close()
	before := len(tokens) - l.o.Stride
	if err := shared.Append(tokens[:before]...); err != nil {
		return nil, err
	}
	if _, err := shared.Continue(ctx, placement.None, nil, l.o.Stride, greedy()); err != nil {
		return nil, err
	}
	var rows []Row
	for i := range l.o.Passages {
		measured, err := l.rounds(ctx, shared, l.o.kinds(i))
		if err != nil {
			return nil, err
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

// rounds measures the kinds in turns.
func (l *loop) rounds(ctx context.Context, shared *engine.Sequence, kinds []kind) ([]Row, error) {
	repeaters := make([]*repeater, len(kinds))
	for i, k := range kinds {
		repeaters[i] = newRepeater(k, l.o, shared, l.warm)
		defer repeaters[i].seq.Close()
	}
	for range l.o.Rounds {
		used := 0 // of the new passages: all kinds see the same
		for _, r := range repeaters {
			fresh := l.cold[:r.passages]
			used = max(used, r.passages)
			if err := r.measure(ctx, l.e, fresh); err != nil {
				return nil, err
			}
			if l.o.Step != nil {
				l.o.Step()
			}
		}
		l.cold = l.cold[used:]
	}
	rows := make([]Row, len(repeaters))
	prepend := 0.0
	for i, r := range repeaters {
		rows[i] = r.row(pageBytes(l.e.Config()))
		if r.placement.Evidence == placement.AtZero {
			prepend = rows[i].MSPerToken
		}
	}
	for i := range rows {
		rows[i].RatioToPrepend = prepend / rows[i].MSPerToken
	}
	return rows, nil
}

// repeater measures the same stride again and again.
type repeater struct {
	kind
	stride Stride
	seq    *engine.Sequence
	known  []lm.Evidence // of unmeasured strides, and of measured ones if warm

	ms    []float64 // a token
	pages int       // of the last round
}

func newRepeater(k kind, o LoopOptions, shared *engine.Sequence, warm [][]int32) *repeater {
	return &repeater{
		kind:   k,
		stride: Stride{Context: shared.Len(), Sampled: o.Stride, Passages: k.passages, Evidence: o.Evidence, Warm: k.warm},
		seq:    shared.Fork(),
		known:  evidence(warm[:k.passages]),
	}
}

func evidence(passages [][]int32) []lm.Evidence {
	var ev []lm.Evidence
	for _, p := range passages {
		ev = append(ev, lm.Evidence{Tokens: p, Weight: 1 / float64(len(passages))})
	}
	return ev
}

// rewind puts the sequence back to the context, its last tokens just sampled.
// Prepending keeps nothing, so any last tokens will do.
func (r *repeater) rewind(ctx context.Context) error {
	if r.placement.Evidence == placement.AtZero {
		r.seq.Truncate(r.stride.Context)
		return nil
	}
	r.seq.Truncate(r.stride.Context - r.stride.Sampled)
	_, err := r.seq.Continue(ctx, r.placement, r.known, r.stride.Sampled, greedy())
	return err
}

// measure times one stride with the given new passages, or the known ones.
func (r *repeater) measure(ctx context.Context, e *engine.Engine, fresh [][]int32) error {
	if err := r.rewind(ctx); err != nil {
		return err
	}
	ev := evidence(fresh)
	if r.warm {
		ev = r.known
	}
	counts, pages := r.seq.Counts(), e.KV().Pages
	r.pages = 0
	likeliest := greedy()
	start := time.Now()
	_, err := r.seq.Continue(ctx, r.placement, ev, r.stride.Sampled, func(logits []float32) (int32, bool) {
		r.pages = e.KV().Pages - pages
		return likeliest(logits)
	})
	elapsed := time.Since(start)
	if err != nil {
		return err
	}
	r.ms = append(r.ms, elapsed.Seconds()*1000/float64(r.stride.Sampled))
	return r.account(minus(r.seq.Counts(), counts))
}

// account checks what was counted against the placement table and adds the
// pages that the stride found in place to those that it took.
func (r *repeater) account(got lm.Counts) error {
	want := r.stride.Tokens(r.placement)
	if got != want {
		return fmt.Errorf("a stride of %s at %d tokens computed %+v and the placement table says %+v", r.placement.Name, r.stride.Context, got, want)
	}
	r.pages += kvcache.Blocks(want.Reused)
	if r.warm {
		r.pages += r.stride.Passages * kvcache.Blocks(r.stride.Evidence)
	}
	return nil
}

func minus(a, b lm.Counts) lm.Counts {
	return lm.Counts{
		Prompt: a.Prompt - b.Prompt, Prefilled: a.Prefilled - b.Prefilled, Decoded: a.Decoded - b.Decoded,
		Reused: a.Reused - b.Reused, Evidence: a.Evidence - b.Evidence, EvidenceReused: a.EvidenceReused - b.EvidenceReused,
	}
}

func (r *repeater) row(pageBytes int64) Row {
	ms, c := spreadOf(r.ms), r.stride.Tokens(r.placement)
	row := Row{
		Placement: r.placement.Name, Echo: r.placement.Echo, Context: r.stride.Context,
		Passages: r.passages, Stride: r.stride.Sampled,
		MSPerToken: ms.median, MinMSPerToken: ms.min, MaxMSPerToken: ms.max, Rounds: len(r.ms),
		Prefilled: c.Prefilled, Decoded: c.Decoded, Reused: c.Reused, EvidenceReused: c.EvidenceReused,
		KVPages: r.pages, KVBytes: int64(r.pages) * pageBytes,
	}
	if r.placement.EvidenceSees == placement.SeesSink {
		row.Evidence = map[bool]string{false: "cold", true: "warm"}[r.warm]
	}
	return row
}
