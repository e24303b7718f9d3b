package flashback

import (
	"context"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/oracle"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// VerifyTolerance is how far a logit may be from that of the plain f32 oracle,
// which adds in another order. Both are within 1e-4 of the reference on the
// default model; a fault in a position or a mask is far above 2e-3.
const VerifyTolerance = 2e-3

// Verify checks the exactness promise on a stream: every stride is computed again
// from empty caches by the same kernels, which must give equal bits, and by an
// oracle that knows no cache, which must agree within VerifyTolerance. The oracle
// rounds as exact compute does, so an engine that computes fast skips it. It is
// slow: set Request.Verify for a test, not in service.
type Verify struct {
	verifier *ralm.Verifier
}

// VerifyReport says what was compared and where the first difference is.
type VerifyReport = ralm.Report

// Report returns what was found so far.
func (v *Verify) Report() VerifyReport {
	if v.verifier == nil {
		return VerifyReport{}
	}
	return v.verifier.Report()
}

func (v *Verify) attach(e *Engine, a *Adapter) func(context.Context, ralm.Record) error {
	if v.verifier == nil {
		v.verifier = &ralm.Verifier{Tolerance: VerifyTolerance}
	}
	v.verifier.Engine = e.engine
	if a != nil {
		v.verifier.Engine = a.loaded
	}
	if e.engine.Compute() == engine.Exact && e.engine.KVFormat() == kvcache.F32 {
		weights, err := e.model.Quantized()
		if err != nil {
			panic(err) // Open has rounded them already
		}
		check := oracle.New(weights)
		if a != nil {
			check = check.With(a.loaded.Source())
		}
		v.verifier.Oracle = check
	}
	return v.verifier.Record
}
