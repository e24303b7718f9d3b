package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/ralm"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/tokenizer"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// prepareFlags are the flags of prepare.
type prepareFlags struct {
	index, model, output string
	options              trainset.Options
	windows, threads     int
	validation           string
	share                float64
	export               string
}

func newPrepareCmd() *cobra.Command {
	var f prepareFlags
	cmd := &cobra.Command{
		Use:   "prepare DOC... --index DIR -o FILE",
		Short: "Turn documents and an index into training examples",
		Long: `Prepare cuts documents into windows of --context and a stride of tokens and draws
--branches strides of each. A stride is an example: the text before it is the
context, its tokens are the target, and the best --k passages of the index for the
context's last tokens are the evidence, tokenised and cut. A window begins with the
model's BOS where it has one. Passages of the window's own document are never taken, so an index's own documents can be trained
on too. DOC is what 'flashback index' reads; several are read one after the other.

Documents take turns in giving windows, in an order drawn by --seed, and the
windows stand in the file in random order: trainers read them one after the other.
With --validation a share of the windows goes to a file of its own, each of a
document that training does not see.

The same command makes the same bytes, and goes on where an earlier one was
stopped: what is done stands in FILE.partial. --export writes the examples as
lines of JSON too, a header and then a window a line; without documents it exports
the FILE that is there. tools/peft trains on such a file.`,
		Example: `  flashback prepare train.jsonl.zst --index notes.index -o notes.examples
  flashback prepare train.jsonl index.jsonl --index notes.index -o notes.examples \
      --windows 4000 --k 4 --validation notes.validation --validation-share 0.02
  flashback prepare -o notes.examples --export notes.jsonl.zst`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fl, d := cmd.Flags(), ralm.Defaults()
	fl.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fl.StringVar(&f.model, "model", flashback.DefaultModel, "the `MODEL` that is to be trained: its tokens are written")
	fl.StringVarP(&f.output, "output", "o", "", "the `FILE` to write")
	fl.IntVar(&f.options.Context, "context", 512, "longest context, in tokens")
	fl.IntVar(&f.options.Stride, "stride", d.Stride, "target tokens a stride")
	fl.IntVar(&f.options.Branches, "branches", 8, "strides drawn from a window")
	fl.IntVarP(&f.options.K, "k", "k", 4, "passages a stride")
	fl.IntVar(&f.options.QueryLen, "query-len", d.QueryLen, "last tokens of the context that make a query")
	fl.IntVar(&f.options.PassageLen, "passage-len", d.PassageLen, "tokens at which a passage is cut")
	fl.IntVar(&f.windows, "windows", 0, "training windows to make; 0: all that the documents have")
	fl.Uint64Var(&f.options.Seed, "seed", 1, "seed of what is drawn")
	fl.StringVar(&f.validation, "validation", "", "the `FILE` for windows held back from training")
	fl.Float64Var(&f.share, "validation-share", 0.02, "windows held back, as a share of the training windows")
	fl.IntVar(&f.threads, "threads", 0, "threads that look passages up; 0: one a core")
	fl.StringVar(&f.export, "export", "", "write the examples as JSON lines too, to this `FILE`.jsonl, .jsonl.gz or .jsonl.zst")
	cmd.AddCommand(newPrepareQuestionsCmd())
	return cmd
}

func (f *prepareFlags) run(cmd *cobra.Command, docs []string) error {
	switch {
	case f.output == "":
		return usagef("name the file of examples with -o")
	case len(docs) == 0 && f.export != "":
		return f.exportTo(f.export)
	case len(docs) == 0:
		return usagef("name the documents: files or directories")
	case f.index == "":
		return usagef("name the index that passages are looked up in with --index ('flashback index' makes one)")
	case f.windows < 0:
		return usagef("--windows %d: must not be negative", f.windows)
	case f.threads < 0:
		return usagef("--threads %d: must not be negative", f.threads)
	case !(f.share > 0 && f.share < 1):
		return usagef("--validation-share %v: must be between 0 and 1", f.share)
	case f.validation != "" && filepath.Clean(f.validation) == filepath.Clean(f.output):
		return usagef("--validation and -o name the same file")
	}
	if err := f.options.Check(); err != nil {
		return usageError{err}
	}
	tokenizer, index, err := openLookUp(f.model, f.index)
	if err != nil {
		return err
	}
	defer index.Close()
	if err := cutBy(index, tokenizer, f.index, f.model); err != nil {
		return err
	}
	start := time.Now()
	reading := progress.New(cmd.ErrOrStderr(), "reading documents", -1, false)
	plan, err := trainset.Read(readAll(cmd.Context(), docs, cmd.InOrStdin(), func() { reading.Add(1) }), tokenizer, f.options)
	reading.Finish()
	if err != nil {
		return interrupted(err, f.output)
	}
	training, validation := f.windows, 0
	if f.validation != "" {
		total := float64(plan.Windows())
		if training > 0 {
			total = float64(training)
		}
		validation = max(1, int(math.Round(f.share*total)))
	}
	total := training + validation
	if training == 0 {
		total = plan.Windows()
	}
	p := trainset.Preparation{
		Plan: plan, Tokenizer: tokenizer, Retriever: index, Lead: tokenizer.Lead(), Threads: cmp.Or(f.threads, runtime.GOMAXPROCS(0)),
		Header: trainset.Header{Tokenizer: tokenizer.Digest(), Vocab: tokenizer.Size(), Index: index.Digest()},
	}
	bar := progress.New(cmd.ErrOrStderr(), "preparing windows", int64(total), false)
	stats, err := p.Run(cmd.Context(), f.output, training, f.validation, validation, func() { bar.Add(1) })
	bar.Finish()
	if err != nil {
		return interrupted(err, f.output)
	}
	count := func(n int) string { return humanize.Comma(int64(n)) }
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s windows of %s documents (%s too short), %s strides, %s target tokens, %.1f passages a stride, %.1f %% of strides without; %s for validation; %.1f s\n",
		f.output, count(stats.Windows), count(plan.Documents), count(plan.Short), count(stats.Strides), count(stats.Targets),
		float64(stats.Passages)/float64(stats.Strides), 100*float64(stats.Bare)/float64(stats.Strides), count(validation), time.Since(start).Seconds())
	if f.export != "" {
		return f.exportTo(f.export)
	}
	return nil
}

// readAll reads paths one after the other, until ctx ends.
func readAll(ctx context.Context, paths []string, stdin io.Reader, read func()) iter.Seq2[corpus.Document, error] {
	return func(yield func(corpus.Document, error) bool) {
		for _, path := range paths {
			for doc, err := range corpus.Texts(corpus.Read(ctx, path, corpus.Options{Stdin: stdin})) {
				if err == nil {
					err = ctx.Err()
				}
				if !yield(doc, err) {
					return
				}
				read()
			}
		}
	}
}

// interrupted says of Ctrl-C what is kept.
func interrupted(err error, output string) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped; the same command goes on with what %s.partial has", output)
	}
	return err
}

// exportTo writes the examples as JSON lines, compressed as the name says.
func (f *prepareFlags) exportTo(path string) error {
	set, err := trainset.Open(f.output)
	if err != nil {
		return err
	}
	defer set.Close()
	return atomicfile.Write(path, func(w io.Writer) error {
		out, err := compressor(w, path)
		if err != nil {
			return err
		}
		return errors.Join(set.Export(out), out.Close())
	})
}

// compressor compresses what goes to w as the name of a file says.
func compressor(w io.Writer, name string) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriterLevel(w, gzip.BestCompression)
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(128<<20))
	}
	return plainWriter{w}, nil
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// cutBy refuses an index whose passages were cut by the tokens of another model.
func cutBy(index *bm25.Index, t *tokenizer.Tokenizer, dir, model string) error {
	if cut := index.Info().Tokenizer; cut != "" && cut != t.Digest() {
		return fmt.Errorf("%s was cut with the tokens of another model than %s: name that model with --model, or index again", dir, model)
	}
	return nil
}

// openLookUp opens a model's tokenizer, and the index that passages are looked up in.
func openLookUp(name, dir string) (*tokenizer.Tokenizer, *bm25.Index, error) {
	found, err := hub.Resolve(name)
	if err != nil {
		return nil, nil, err
	}
	t, err := model.LoadTokenizer(found.Path)
	if err != nil {
		return nil, nil, err
	}
	index, err := bm25.Open(dir, bm25.Options{})
	return t, index, err
}
