package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/train"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// trainFlags are the flags of train.
type trainFlags struct {
	model, output       string
	kernels, compute    string
	threads, saveEvery  int
	recipe              train.Recipe
	named               string
	validation, initial string
	compareLog          string
	restart             bool
}

func newTrainCmd() *cobra.Command {
	f := trainFlags{recipe: train.Default()}
	cmd := &cobra.Command{
		Use:   "train EXAMPLES -o DIR",
		Short: "Train an adapter on examples",
		Long: `Train fits low-rank factors (LoRA), and with --marks the embeddings of two tokens
around each passage, to the examples that 'flashback prepare' made. The model
itself stays as it is. The adapter goes to DIR as PEFT's files, with the placement
that it was trained for, which 'generate', 'ask' and 'eval' then take.

Windows are taken in the file's order, --batch of them a step, from the start
again behind the end. With --validation the loss of that file is measured every
--eval-every steps, the best step is kept, and training ends when --patience
measurements brought no better one.

Checkpoints, the log (train.jsonl) and the loss curve (loss.png) stand in
DIR.training. The same command goes on from the last checkpoint and then gives
the same bytes as one that was never stopped; Ctrl-C saves before it ends. With
other settings it refuses, and --restart begins anew.

On amd64 what is multiplied with the model's weights is rounded to 16 bits, as on a
GPU: to bf16 where the processor has AMX, else to integers; a step takes a third to two
thirds of the time. Factors, attention, loss and optimiser stay f32. --compute exact
keeps all f32.

--recipe paper is FlashBack's own: passages behind the context between marks, rank
16 on q and v, learning rate 1e-4, 16 windows a step. Other flags change it.`,
		Example: `  flashback train notes.examples -o notes.adapter
  flashback train notes.examples -o notes.adapter --validation notes.validation --steps 500
  flashback train notes.examples -o paper.adapter --recipe paper
  flashback train notes.examples -o echo.adapter --placement append --echo 16 --k 1 --marks
  flashback train notes.examples -o again.adapter --placement virtual --echo 16 --k 1
  flashback train notes.examples -o first.adapter --steps 0        # the untrained adapter
  flashback train notes.examples -o more.adapter --init notes.adapter --lr 1e-4`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.model, "model", flashback.DefaultModel, "the `MODEL` to train an adapter of")
	fl.StringVarP(&f.output, "output", "o", "", "the `DIR` to write the adapter to")
	fl.StringVar(&f.named, "recipe", "default", "settings to start from: default or paper")
	addRecipe(fl, &f.recipe)
	fl.StringVar(&f.validation, "validation", "", "the `FILE` of examples to validate by")
	fl.StringVar(&f.initial, "init", "", "start from the adapter in this `DIR`")
	fl.IntVar(&f.saveEvery, "save-every", 25, "steps from one checkpoint to the next")
	fl.BoolVar(&f.restart, "restart", false, "begin anew, over what an earlier training left")
	fl.StringVar(&f.compareLog, "compare-log", "", "draw the losses of this `FILE`.jsonl, of another trainer, beside these")
	fl.IntVar(&f.threads, "threads", 0, "threads that compute; 0: one a core")
	fl.StringVar(&f.kernels, "kernels", "", "compute path: go, avx2, avx512, amx, neon … (default: the fastest here)")
	fl.StringVar(&f.compute, "compute", string(engine.Fast), "exact: f32 throughout; fast: products with the model's weights in 16 bits where that takes less time")
	return cmd
}

// addRecipe adds a flag for each setting of a recipe, whose values are the defaults.
func addRecipe(fl *pflag.FlagSet, r *train.Recipe) {
	fl.StringVar(&r.Placement, "placement", r.Placement, "where passages stand: virtual, append, prepend or none")
	fl.IntVar(&r.Echo, "echo", r.Echo, "context tokens that append or virtual encodes again in sight of the passages")
	fl.IntVarP(&r.K, "k", "k", r.K, "passages a stride")
	fl.BoolVar(&r.Marks, "marks", r.Marks, "train two Marking Tokens around each passage")
	fl.BoolVar(&r.Activated, "activated", r.Activated, "apply the adapter from the passages on only, so that the context's KV is the base model's")
	fl.IntVar(&r.Rank, "rank", r.Rank, "rank of the factors")
	fl.Float64Var(&r.Alpha, "alpha", r.Alpha, "updates are scaled by alpha/rank")
	fl.BoolVar(&r.RSLoRA, "rslora", r.RSLoRA, "scale by alpha/√rank instead")
	fl.Float64Var(&r.Dropout, "dropout", r.Dropout, "share of the adapter's input that a step leaves out")
	fl.Var(&r.Targets, "targets", "projections that get factors: some of q,k,v,o,gate,up,down")
	fl.Float64Var(&r.LR, "lr", r.LR, "learning rate at its peak")
	fl.StringVar(&r.Schedule, "schedule", r.Schedule, "how the learning rate falls: cosine or linear")
	fl.Float64Var(&r.Warmup, "warmup", r.Warmup, "share of the steps in which the learning rate rises")
	fl.Float64Var(&r.WeightDecay, "weight-decay", r.WeightDecay, "how strongly AdamW draws weights to 0")
	fl.Float64Var(&r.Clip, "clip", r.Clip, "limit of the gradient's norm; 0: none")
	fl.IntVar(&r.Batch, "batch", r.Batch, "windows a step")
	fl.IntVar(&r.Steps, "steps", r.Steps, "steps to take; 0: write the initial adapter")
	fl.Uint64Var(&r.Seed, "seed", r.Seed, "seed of the first factors and of dropout")
	fl.IntVar(&r.EvalEvery, "eval-every", r.EvalEvery, "steps from one validation to the next")
	fl.IntVar(&r.Patience, "patience", r.Patience, "validations without a new best that end the training; 0: none does")
}

// chosen returns the named recipe with what the other flags change of it.
func (f *trainFlags) chosen(cmd *cobra.Command) (train.Recipe, error) {
	make, ok := train.Recipes[f.named]
	if !ok {
		return train.Recipe{}, usagef("--recipe %s: use default or paper", f.named)
	}
	r := make()
	over := pflag.NewFlagSet("", pflag.ContinueOnError)
	addRecipe(over, &r)
	var err error
	cmd.Flags().Visit(func(given *pflag.Flag) {
		if flag := over.Lookup(given.Name); flag != nil {
			err = errors.Join(err, flag.Value.Set(given.Value.String()))
		}
	})
	// An echo belongs to its placement: another placement brings its own.
	if cmd.Flags().Changed("placement") && !cmd.Flags().Changed("echo") {
		r.Echo = train.DefaultEcho(r.Placement)
	}
	if err = errors.Join(err, r.Check()); err != nil {
		return r, usageError{err}
	}
	return r, nil
}

// shapeFlags are settings that --init takes from the adapter.
var shapeFlags = []string{"rank", "alpha", "rslora", "targets", "marks"}

func (f *trainFlags) run(cmd *cobra.Command, path string) error {
	recipe, err := f.chosen(cmd)
	if err != nil {
		return err
	}
	switch {
	case f.output == "":
		return usagef("name the adapter's directory with -o")
	case f.threads < 0:
		return usagef("--threads %d: must not be negative", f.threads)
	case f.saveEvery < 1:
		return usagef("--save-every %d: must be at least 1", f.saveEvery)
	case f.initial != "" && slices.ContainsFunc(shapeFlags, cmd.Flags().Changed):
		return usagef("--init: the adapter there has its own rank, alpha, targets and marks; leave out those flags")
	}
	compute, err := engine.ParseCompute(f.compute)
	if err != nil {
		return usageError{err}
	}
	f.output = filepath.Clean(f.output)
	state := f.output + ".training"
	if err := f.checkOutput(state); err != nil {
		return err
	}
	found, err := hub.Resolve(f.model)
	if err != nil {
		return err
	}
	m, err := model.Load(found.Path)
	if err != nil {
		return err
	}
	defer m.Close()
	for _, w := range m.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
	}
	base := m.Digest()
	trainee, err := train.NewModel(&m.Weights, f.threads, f.kernels)
	if err != nil {
		return err
	}
	defer trainee.Close()
	rounding := ""
	if compute == engine.Fast {
		rounding = trainee.UseRounding()
	}
	adapter := trainee.Fresh(recipe, m.Tokenizer.Encode("\n"))
	if f.initial != "" {
		if adapter, recipe, err = trainee.Continue(f.initial, base, recipe); err != nil {
			return err
		}
	}
	if err := train.Describe(adapter, m, base, recipe); err != nil {
		return err
	}
	packing := train.Packing{Model: trainee, Tokenizer: m.Tokenizer.Digest(), BOS: len(m.Tokenizer.Lead()) > 0, Context: m.Config.Context, Recipe: recipe, Marks: (*ralm.Marks)(adapter.Info.Marks)}
	o := train.Options{
		Dir: state, Config: train.Config{Recipe: recipe, Model: base, Rounding: rounding}, Initial: &adapter.Weights,
		SaveEvery: f.saveEvery, Restart: f.restart, CompareLog: f.compareLog,
		Message: func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) },
	}
	set, windows, err := openExamples(path, packing)
	if err != nil {
		return err
	}
	defer set.Close()
	o.Train, o.Config.Examples = windows, train.Digest(set.Header())
	if recipe.Placement != placement.None.Name {
		adapter.Info.PassageLen = set.Header().PassageLen
	}
	if f.validation != "" {
		held, windows, err := openExamples(f.validation, packing)
		if err != nil {
			return err
		}
		defer held.Close()
		o.Validation, o.Config.Validation = windows, train.Digest(held.Header())
	}
	if recipe.Steps == 0 {
		return f.write(cmd, adapter, "the initial adapter")
	}
	show := newTrainBar(cmd, recipe.Steps)
	o.Record = show.record
	result, err := train.Run(cmd.Context(), o)
	show.finish()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w; the same command goes on from the checkpoint in %s", errInterrupted, state)
	}
	if err != nil {
		return err
	}
	adapter.Weights = *result.Adapter
	what := fmt.Sprintf("an adapter of step %d of %d", result.Step, result.Taken)
	if o.Validation != nil {
		what += fmt.Sprintf(", validation loss %.4f", result.Validation)
	}
	return f.write(cmd, adapter, what)
}

// checkOutput refuses, before any work, a directory that the adapter could not or
// should not replace.
func (f *trainFlags) checkOutput(state string) error {
	entries, err := os.ReadDir(f.output)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if !lora.IsAdapter(f.output) {
		return fmt.Errorf("%s: is there and is no adapter: name another directory", f.output)
	}
	if _, err := os.Stat(state); err != nil && !f.restart {
		return fmt.Errorf("%s: holds an adapter and no training to go on with; name another directory, or write over it with --restart", f.output)
	}
	return nil
}

// openExamples opens a file of examples and lays its windows out.
func openExamples(path string, p train.Packing) (*trainset.Set, train.Windows, error) {
	set, err := trainset.Open(path)
	if err != nil {
		return nil, nil, err
	}
	windows, err := p.Windows(set)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), set.Close())
	}
	return set, windows, nil
}

func (f *trainFlags) write(cmd *cobra.Command, a *lora.Adapter, what string) error {
	if err := lora.Write(f.output, a); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", f.output, what)
	return err
}

// trainBar shows how far a training is.
type trainBar struct {
	bar   *progress.Bar
	steps int
	cmd   *cobra.Command
}

func newTrainBar(cmd *cobra.Command, steps int) *trainBar { return &trainBar{steps: steps, cmd: cmd} }

func (t *trainBar) record(r train.Record) {
	if r.Validation != nil {
		return
	}
	if t.bar == nil { // the steps that were taken before would spoil the estimate of the time left
		t.bar = progress.New(t.cmd.ErrOrStderr(), "training", int64(t.steps-r.Step+1), false)
	}
	t.bar.Describe(fmt.Sprintf("step %d, loss %.3f, %.0f tokens/s, %.0f targets/s",
		r.Step, r.Loss, float64(r.Tokens)/r.Seconds, float64(r.Targets)/r.Seconds))
	t.bar.Add(1)
}

func (t *trainBar) finish() {
	if t.bar != nil {
		t.bar.Finish()
	}
}
