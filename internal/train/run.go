package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/flashback-lm/flashback/internal/lora"
)

// Options of a run.
type Options struct {
	Dir        string        // what the run keeps: checkpoints, log, plot
	Config     Config        // its Initial is filled in
	Initial    *lora.Weights // what the run starts from; left as it is
	Train      Windows
	Validation Windows // nil: none
	SaveEvery  int     // steps from one checkpoint to the next
	Restart    bool    // forget what a training before left in Dir
	// CompareLog is another training's log to draw beside this one's; "": none.
	CompareLog string

	Record  func(Record) // gets every step and validation; nil: nobody does
	Message func(string) // gets what a user should know; nil: nobody does
}

// Result is what a run made.
type Result struct {
	Adapter    *lora.Weights // the best of the validations, or the last without any
	Step       int           // that the adapter is of
	Taken      int           // steps taken in all
	Validation float64       // loss of the adapter, NaN without validation
}

// Run trains, or goes on training where the last checkpoint in Dir stands, and is
// then bit for bit what it would have been in one go on the same compute path. When
// ctx ends it writes a checkpoint and returns ctx's error. Any error leaves the last
// good checkpoint in place.
func Run(ctx context.Context, o Options) (result Result, err error) {
	o.Config.Initial = digest(o.Initial.Tensors())
	dir, err := openDirectory(o.Dir)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, dir.close()) }()
	r, err := newRun(o, dir)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.log.close()) }()
	err = r.train(ctx)
	if ctx.Err() != nil {
		err = errors.Join(err, r.save())
	}
	if plotErr := r.plot(); err == nil {
		err = plotErr
	}
	if err != nil {
		return Result{}, err
	}
	return r.result()
}

// run is a training under way.
type run struct {
	Options
	state     state
	saved     int  // step of the last checkpoint, 0 before the first
	changed   bool // the state is not that of the last checkpoint
	dir       *directory
	log       *log
	factor    func(step int) float64
	adapter   *lora.Weights
	gradient  *lora.Weights
	tensors   [][]float32 // of the adapter
	gradients [][]float32
	optimiser *adamW
}

func newRun(o Options, dir *directory) (*run, error) {
	recipe := o.Config.Recipe
	if err := recipe.Check(); err != nil {
		return nil, err
	}
	if o.SaveEvery < 1 {
		return nil, fmt.Errorf("steps between checkpoints %d: must be at least 1", o.SaveEvery)
	}
	for _, w := range []struct {
		name    string
		windows Windows
	}{{"training", o.Train}, {"validation", o.Validation}} {
		if w.windows != nil && w.windows.Len() == 0 {
			return nil, fmt.Errorf("the %s examples have no window: prepare them from more or longer documents", w.name)
		}
	}
	factor, err := schedule(recipe.Schedule, warmupSteps(recipe.Warmup, recipe.Steps), recipe.Steps)
	if err != nil {
		return nil, err
	}
	adapter, gradient := o.Initial.Like(), o.Initial.Like()
	r := &run{
		Options: o, state: state{Config: o.Config}, dir: dir, factor: factor,
		adapter: adapter, gradient: gradient, tensors: adapter.Tensors(), gradients: gradient.Tensors(),
	}
	if len(r.tensors) == 0 {
		return nil, errors.New("the adapter has nothing to train: no factors and no marks")
	}
	r.optimiser = newAdamW(recipe.WeightDecay, r.tensors)
	if err := r.resume(); err != nil {
		return nil, err
	}
	r.log, err = openLog(dir.file(logFile), r.state)
	return r, err
}

// resume takes up the last checkpoint that can be read, or starts at step 0.
func (r *run) resume() error {
	if r.Restart {
		if err := r.dir.clear(); err != nil {
			return err
		}
	}
	steps, err := r.dir.steps()
	if err != nil {
		return err
	}
	for i, step := range steps {
		s, err := readCheckpoint(r.dir.checkpoint(step), r.Config, r.tensors, r.optimiser.m, r.optimiser.v)
		if err == nil {
			r.state, r.saved, r.optimiser.steps = s, s.Step, s.Step
			r.messagef("going on at step %d of %d", s.Step, r.Config.Recipe.Steps)
			return nil
		}
		if !errors.Is(err, errDamaged) {
			return err
		}
		if i == len(steps)-1 {
			return fmt.Errorf("%w; no checkpoint can be read: begin anew with --restart", err)
		}
		r.messagef("%v; going back to the checkpoint before, and setting this one aside", err)
		if err := r.dir.setAside(step); err != nil {
			return err
		}
	}
	for i, t := range r.Initial.Tensors() {
		copy(r.tensors[i], t)
	}
	return nil
}

func (r *run) messagef(format string, args ...any) {
	if r.Message != nil {
		r.Message(fmt.Sprintf(format, args...))
	}
}

// train takes steps until the last, an early stop, or an error. What is due after a
// step is done at the head of the loop, so that a run that was stopped before it
// does it when it goes on.
func (r *run) train(ctx context.Context) error {
	recipe := r.Config.Recipe
	for {
		if err := r.validate(ctx); err != nil {
			return err
		}
		over := r.state.Step >= recipe.Steps || recipe.Patience > 0 && r.state.Waited >= recipe.Patience
		if over || r.state.Step%r.SaveEvery == 0 {
			if err := r.save(); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		if err := r.step(ctx); err != nil {
			return err
		}
	}
}

// step takes one step of the optimiser. Where it returns an error, the parameters
// and the state are those before it.
func (r *run) step(ctx context.Context) error {
	start := time.Now()
	batch, err := r.batch()
	if err != nil {
		return err
	}
	record := Record{Step: r.state.Step + 1, LR: r.Config.Recipe.LR * r.factor(r.state.Step)}
	for _, w := range batch {
		record.Tokens += w.Tokens()
		record.Targets += w.Targets()
	}
	if record.Targets == 0 {
		return fmt.Errorf("step %d: its windows have no targets to learn from: prepare other examples", record.Step)
	}
	for _, t := range r.gradients {
		clear(t)
	}
	scale := 1 / float32(record.Targets)
	for i, w := range batch {
		sum, err := w.Gradients(ctx, r.adapter, r.gradient, scale, dropoutSeed(r.Config.Recipe.Seed, r.state.Step, i))
		if err != nil {
			return fmt.Errorf("step %d: %w", record.Step, err)
		}
		record.Loss += sum / float64(record.Targets)
	}
	record.GradNorm = norm(r.gradients)
	if err := r.finite(record.Step, "loss", record.Loss); err != nil {
		return err
	}
	if err := r.finite(record.Step, "norm of the gradient", record.GradNorm); err != nil {
		return err
	}
	clip(r.gradients, record.GradNorm, r.Config.Recipe.Clip)
	r.optimiser.step(r.tensors, r.gradients, record.LR)
	r.state.Step++
	r.state.Next += len(batch)
	record.Seconds = time.Since(start).Seconds()
	r.state.Seconds += record.Seconds
	r.changed = true
	return r.record(record)
}

// batch packs the next windows of the file, from its start again behind its end.
func (r *run) batch() ([]Window, error) {
	var batch []Window
	for i := range r.Config.Recipe.Batch {
		at := (r.state.Next + i) % r.Train.Len()
		w, err := r.Train.Pack(at)
		if err != nil {
			return nil, fmt.Errorf("step %d: window %d: %w", r.state.Step+1, at, err)
		}
		batch = append(batch, w)
	}
	return batch, nil
}

// finite stops the run where a number of a step is infinite or NaN.
func (r *run) finite(step int, what string, x float64) error {
	if !math.IsNaN(x) && !math.IsInf(x, 0) {
		return nil
	}
	return fmt.Errorf("step %d: the %s is %v; %s; train with a lower --lr or a longer --warmup", step, what, x, r.lastGood())
}

// lastGood says what a run that fails leaves.
func (r *run) lastGood() string {
	if r.saved == 0 {
		return "there is no checkpoint yet"
	}
	return "the last good checkpoint is " + r.dir.checkpoint(r.saved)
}

func (r *run) record(record Record) error {
	if r.Record != nil {
		r.Record(record)
	}
	if err := r.log.add(record); err != nil {
		return fmt.Errorf("step %d: write the log: %w; %s", record.Step, err, r.lastGood())
	}
	return nil
}

// validate measures the loss of the validation windows where that is due, and keeps
// count of the best.
func (r *run) validate(ctx context.Context) error {
	recipe := r.Config.Recipe
	due := r.state.Step > 0 && (r.state.Step%recipe.EvalEvery == 0 || r.state.Step == recipe.Steps)
	if r.Validation == nil || !due || r.state.Validated == r.state.Step {
		return nil
	}
	loss, err := r.validationLoss(ctx)
	if err != nil {
		return fmt.Errorf("validation at step %d: %w", r.state.Step, err)
	}
	r.state.Validated = r.state.Step
	r.state.Waited++
	r.changed = true
	improved := r.state.Best == nil || loss < r.state.Best.Loss
	if improved {
		r.state.Best, r.state.Waited = &best{r.state.Step, loss}, 0
	}
	if err := r.record(Record{Step: r.state.Step, Validation: &loss}); err != nil || !improved {
		return err
	}
	return r.save() // the best is kept even where no checkpoint is due
}

func (r *run) validationLoss(ctx context.Context) (float64, error) {
	sum, targets := 0.0, 0
	for i := range r.Validation.Len() {
		w, err := r.Validation.Pack(i)
		if err != nil {
			return 0, fmt.Errorf("window %d: %w", i, err)
		}
		loss, err := w.Loss(ctx, r.adapter)
		if err != nil {
			return 0, fmt.Errorf("window %d: %w", i, err)
		}
		sum += loss
		targets += w.Targets()
	}
	if targets == 0 {
		return 0, errors.New("the validation examples have no targets")
	}
	loss := sum / float64(targets)
	return loss, r.finite(r.state.Step, "validation loss", loss)
}

// save writes a checkpoint of what the last one does not hold, and removes those
// that are kept no longer.
func (r *run) save() error {
	if !r.changed {
		return nil
	}
	// A step that overflows must not replace a good checkpoint.
	if err := r.finite(r.state.Step, "norm of the adapter", norm(r.tensors)); err != nil {
		return err
	}
	path := r.dir.checkpoint(r.state.Step)
	if err := writeCheckpoint(path, r.state, r.tensors, r.optimiser.m, r.optimiser.v); err != nil {
		return fmt.Errorf("step %d: write a checkpoint: %w; %s", r.state.Step, err, r.lastGood())
	}
	r.saved, r.changed = r.state.Step, false
	bestStep := r.state.Step
	if r.state.Best != nil {
		bestStep = r.state.Best.Step
	}
	return r.dir.prune(bestStep)
}

// result returns the adapter to keep.
func (r *run) result() (Result, error) {
	result := Result{Adapter: r.adapter, Step: r.state.Step, Taken: r.state.Step, Validation: math.NaN()}
	b := r.state.Best
	if b == nil {
		return result, nil
	}
	result.Step, result.Validation = b.Step, b.Loss
	if b.Step == r.state.Step {
		return result, nil
	}
	path := r.dir.checkpoint(b.Step)
	if _, err := readCheckpoint(path, r.Config, r.tensors, r.optimiser.m, r.optimiser.v); err != nil {
		return Result{}, fmt.Errorf("the best step's checkpoint: %w", err)
	}
	return result, nil
}

// plot draws the log.
func (r *run) plot() error {
	ours, err := ReadLog(r.dir.file(logFile))
	if err != nil || len(ours) == 0 {
		return err
	}
	curves := []Curve{{"flashback", ours}}
	if r.CompareLog != "" {
		theirs, err := ReadLog(r.CompareLog)
		if err != nil {
			return err
		}
		curves = append(curves, Curve{filepath.Base(r.CompareLog), theirs})
	}
	return Plot(r.dir.file(plotFile), curves)
}
