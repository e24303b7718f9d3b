package flashback

import (
	"context"
	"fmt"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/peer"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// backend is what computes: the engine of this machine, or one behind HTTP.
type backend interface {
	newSequence() sequence
	place(p placement.Placement) placement.Placement
	context() int // longest sequence, in positions
	vocab() int
	kv() KVUsage
	dropKept()
	// check refuses what cannot be done of a request that is resolved, with so many pieces
	// of evidence at most a stride.
	check(r Request, p placement.Placement, pieces int) error
	info(*Info)
}

// sequence is a text with what is kept of it.
type sequence interface {
	ralm.Sequence
	Truncate(n int)
	// apply sets what the request says of the sequence itself.
	apply(r Request) error
	fork() sequence
	// Score and Logits are of what is behind the text, without writing it.
	Score(ctx context.Context, p placement.Placement, evidence []lm.Evidence, target []int32) ([]float64, error)
	Logits(ctx context.Context, p placement.Placement, evidence []lm.Evidence, target []int32, row func(logits []float32)) error
	Close()
}

// local is the engine of this machine.
type local struct{ *engine.Engine }

func (l local) newSequence() sequence                           { return localSequence{l.NewSequence()} }
func (l local) place(p placement.Placement) placement.Placement { return l.Place(p) }
func (l local) context() int                                    { return l.Config().Context }
func (l local) vocab() int                                      { return l.Config().Vocab }
func (l local) kv() KVUsage                                     { return l.KV() }
func (l local) dropKept()                                       { l.DropKept() }
func (l local) check(Request, placement.Placement, int) error   { return nil }

func (l local) info(i *Info) {
	device := l.Device().Info()
	i.Family = l.Config().Family
	i.Kernels, i.Threads = device.Kernels, device.Threads
	i.Compute, i.KV, i.KVBudget = string(l.Compute()), l.KVFormat().String(), l.KVBudget()
}

type localSequence struct{ *engine.Sequence }

func (s localSequence) fork() sequence { return localSequence{s.Fork()} }

func (s localSequence) apply(r Request) error {
	s.LookAhead(r.LookAhead)
	s.SetSalt(r.Salt)
	return s.SetAdapter(r.engine())
}

// behindHTTP is an engine that another server runs.
type behindHTTP struct{ *peer.Engine }

func (h behindHTTP) newSequence() sequence                           { return remoteSequence{h.NewSequence()} }
func (h behindHTTP) place(p placement.Placement) placement.Placement { return p }
func (h behindHTTP) context() int                                    { return h.Context }
func (h behindHTTP) dropKept()                                       {}
func (h behindHTTP) info(i *Info)                                    { i.Engine = h.String() }

func (h behindHTTP) vocab() int { return h.Vocab }

// kv is what the peer's sequences hold together, none of it in this process: requests are
// let in as if it had that memory, and the peer queues what it has not.
func (h behindHTTP) kv() KVUsage {
	const unsaid = 64 // sequences of a server that batches as many as find room
	slots := h.Slots
	if slots == 0 {
		slots = unsaid
	}
	return KVUsage{Limit: kvcache.Blocks(h.Context) * slots}
}

// ErrUnsupported says that an engine behind HTTP cannot do what was asked.
var ErrUnsupported = peer.ErrUnsupported

// EngineError says that an engine behind HTTP failed, and how.
type EngineError = peer.Error

func (h behindHTTP) check(r Request, p placement.Placement, pieces int) error {
	err := peer.Check(p, pieces)
	switch {
	case err != nil:
	case r.Adapter != nil:
		err = fmt.Errorf("adapters: %w: merge it into the model that it runs (flashback merge)", ErrUnsupported)
	case r.Verify != nil:
		err = fmt.Errorf("verification: %w: it shows no logits", ErrUnsupported)
	case r.Logprobs:
		err = fmt.Errorf("probabilities of tokens: %w", ErrUnsupported)
	case r.Sampling.PresencePenalty != 0 || r.Sampling.FrequencyPenalty != 0:
		err = fmt.Errorf("presence and frequency penalties: %w: it would count one stride's tokens only; use a repetition penalty", ErrUnsupported)
	default:
		return nil
	}
	return fmt.Errorf("%s: %w", h.Engine, err)
}

type remoteSequence struct{ *peer.Sequence }

func (s remoteSequence) fork() sequence { return remoteSequence{s.Fork()} }

func (s remoteSequence) apply(r Request) error {
	s.SetSalt(r.Salt)
	s.Unending(r.IgnoreEOS)
	return nil
}

// errUnknown says what nobody can tell of tokens whose logits are not shown.
var errUnknown = fmt.Errorf("what passages gave, and how probable tokens are: %w", ErrUnsupported)

func (s remoteSequence) Score(context.Context, placement.Placement, []lm.Evidence, []int32) ([]float64, error) {
	return nil, errUnknown
}

func (s remoteSequence) Logits(context.Context, placement.Placement, []lm.Evidence, []int32, func([]float32)) error {
	return errUnknown
}

// errNoAdapters refuses an adapter for an engine behind HTTP.
func errNoAdapters(b backend) error {
	return b.check(Request{Adapter: &Adapter{}}, placement.None, 0)
}

// EnginePlacement is where evidence stands where nothing says so and an engine behind HTTP
// runs the model: untuned, it reads what stands in front.
const EnginePlacement = "prepend"
