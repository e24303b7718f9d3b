package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
)

// repeater measures the same stride again and again.
type repeater struct {
	kind
	stride Stride
	seq    *engine.Sequence
	known  []lm.Evidence // of unmeasured strides, and of measured ones if warm

	ms    []float64 // a token
	pages int       // of the last round

	peerMS        []float64
	peerPrefilled []float64
}

func newRepeater(k kind, o LoopOptions, shared *engine.Sequence, warm [][]int32) *repeater {
	return &repeater{
		kind:   k,
		stride: Stride{Context: shared.Len(), Sampled: o.Stride, Passages: k.passages, Evidence: o.Evidence, Warm: k.warm},
		seq:    shared.Fork(),
		known:  toEvidence(warm[:k.passages]),
	}
}

func toEvidence(passages [][]int32) []lm.Evidence {
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
	// The stride before has left no plain KV of what it echoed in place.
	text := slices.Clone(r.seq.Tokens()[:r.stride.Context-r.stride.Sampled])
	r.seq.Truncate(r.placement.Layout(len(text), []int{r.stride.Evidence}).Branches[0].Sees)
	if err := r.seq.Append(text[r.seq.Len():]...); err != nil {
		return err
	}
	_, err := r.seq.Continue(ctx, r.placement, r.known, r.stride.Sampled, sample.Greedy(), nil)
	return err
}

// measure times one stride of a rewound sequence with the given new passages, or
// the known ones.
func (r *repeater) measure(ctx context.Context, e *engine.Engine, fresh [][]int32) error {
	ev := toEvidence(fresh)
	if r.warm {
		ev = r.known
	}
	// A page that is copied because a fork shares it takes the place of that one.
	own := func() int { u := e.KV(); return u.Pages - u.Copies }
	counts, pages := r.seq.Counts(), own()
	r.pages = 0
	start := time.Now()
	_, err := r.seq.Continue(ctx, r.placement, ev, r.stride.Sampled, sample.Greedy(), func(int32) bool {
		r.pages = own() - pages
		return false
	})
	elapsed := time.Since(start)
	r.seq.Rest() // others are measured now
	if err != nil {
		return err
	}
	r.ms = append(r.ms, elapsed.Seconds()*1000/float64(r.stride.Sampled))
	return r.account(r.seq.Counts().Sub(counts))
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

// measurePeer times the stride on the peer, whose cache is first put into the
// state that the stride before leaves: the context without its last tokens,
// evidence behind it.
func (r *repeater) measurePeer(ctx context.Context, peer *Peer, text []int32, fresh [][]int32) error {
	before := text[:len(text)-r.stride.Sampled]
	var known, prompt []int32
	switch evidence := slices.Concat(fresh...); r.placement.Evidence {
	case placement.Nowhere:
		known, prompt = text[:len(text)-1], text
	case placement.AtZero:
		prompt = slices.Concat(evidence, text)
	default:
		known = slices.Concat(before, r.known[0].Tokens)
		prompt = slices.Concat(text, evidence, text[len(text)-r.placement.Echo:])
	}
	if known != nil {
		if _, err := peer.complete(ctx, known, 1); err != nil {
			return err
		}
	}
	start := time.Now()
	prefilled, err := peer.complete(ctx, prompt, r.stride.Sampled)
	if err != nil {
		return err
	}
	r.peerMS = append(r.peerMS, time.Since(start).Seconds()*1000/float64(r.stride.Sampled))
	r.peerPrefilled = append(r.peerPrefilled, float64(prefilled))
	return nil
}

func (r *repeater) peerRow(peer *Peer) *PeerRow {
	ms := spreadOf(r.peerMS)
	return &PeerRow{
		Name: peer.Name, Placement: r.placement.Name, MSPerToken: ms.median, MinMSPerToken: ms.min, MaxMSPerToken: ms.max,
		Prefilled: int(spreadOf(r.peerPrefilled).median),
	}
}

func (r *repeater) row(pageBytes int64) Row {
	ms, c := spreadOf(r.ms), r.stride.Tokens(r.placement)
	return Row{
		Placement: r.placement.Name, Evidence: r.evidence(), Echo: r.placement.Echo, Context: r.stride.Context,
		Passages: r.passages, Stride: r.stride.Sampled,
		MSPerToken: ms.median, MinMSPerToken: ms.min, MaxMSPerToken: ms.max, Rounds: len(r.ms),
		Prefilled: c.Prefilled, Decoded: c.Decoded, Reused: c.Reused, EvidenceReused: c.EvidenceReused,
		KVPages: r.pages, KVBytes: int64(r.pages) * pageBytes,
	}
}
