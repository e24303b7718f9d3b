package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// prepareQuestionsFlags are the flags of prepare questions.
type prepareQuestionsFlags struct {
	index, model, template, output string
	systems                        []string
	k, passageLen                  int
	threads                        int
}

func newPrepareQuestionsCmd() *cobra.Command {
	var f prepareQuestionsFlags
	cmd := &cobra.Command{
		Use:   "questions FILE --index DIR -o FILE",
		Short: "Turn questions with answers into examples of a chat",
		Long: `Questions lays each question out as 'flashback ask' asks it, the best --k passages
of the index for it and its answer behind, and writes the examples as lines of
JSON, which tools/peft trains on; 'flashback train' does not read them.

FILE is .jsonl, perhaps .gz or .zst, a question a line: "question" and "answers", a
list of which the longest is taken, perhaps "id", and "passage_id", "passage_title"
and "passage", the passage that answers it. That one is always among the passages,
last where it was not found.`,
		Example: `  flashback prepare questions train.jsonl --index train.index -o train.questions.jsonl.gz`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.index, "index", "", "the index `DIR` that passages are looked up in")
	fl.StringVar(&f.model, "model", flashback.DefaultModel, "the `MODEL` that is to be trained: its tokens are written")
	addTemplate(fl, &f.template)
	fl.StringVarP(&f.output, "output", "o", "", "the `FILE`.jsonl, .jsonl.gz or .jsonl.zst to write")
	fl.StringArrayVar(&f.systems, "system", []string{askSystem, shortSystem, ""}, "a system `MESSAGE`, empty for the model's own; questions take them in turns (repeatable)")
	fl.IntVarP(&f.k, "k", "k", 4, "passages a question, besides its own")
	fl.IntVar(&f.passageLen, "passage-len", 400, "tokens at which a passage is cut")
	fl.IntVar(&f.threads, "threads", 0, "threads that look passages up; 0: one a core")
	return cmd
}

func (f *prepareQuestionsFlags) run(cmd *cobra.Command, path string) error {
	switch {
	case f.output == "":
		return usagef("name the file of examples with -o")
	case f.index == "":
		return usagef("name the index that passages are looked up in with --index ('flashback index' makes one)")
	case f.k < 1 || f.passageLen < 1 || f.threads < 0:
		return usagef("--k and --passage-len must be at least 1, --threads not negative")
	}
	questions, err := questionsOf(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	template, err := readTemplate(f.template)
	if err != nil {
		return err
	}
	tokenizer, index, err := openLookUp(f.model, f.index)
	if err != nil {
		return err
	}
	defer index.Close()
	if template != "" {
		if tokenizer, err = tokenizer.WithTemplate(template); err != nil {
			return err
		}
	}
	e := trainset.Exchanges{
		Tokenizer: tokenizer, Retriever: index, Systems: f.systems, K: f.k, PassageLen: f.passageLen, Threads: cmp.Or(f.threads, runtime.GOMAXPROCS(0)),
	}
	bar := progress.New(cmd.ErrOrStderr(), "looking passages up", int64(len(questions)), false)
	exchanges, err := e.Make(cmd.Context(), questions, func() { bar.Add(1) })
	bar.Finish()
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	} else if err != nil {
		return err
	}
	if err := writeExchanges(f.output, e.Header(len(exchanges), index.Digest()), exchanges); err != nil {
		return err
	}
	shown, own, passages := 0, 0, 0
	for _, x := range exchanges {
		if x.Own >= 0 {
			own++
		}
		if 0 <= x.Own && x.Own < 2 && x.Passages[x.Own].Score > 0 { // what was not found has no score
			shown++
		}
		passages += len(x.Passages)
	}
	count := func(n int) string { return humanize.Comma(int64(n)) }
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s questions, %s with their own passage, %s of them found among the first two; %.1f passages a question\n",
		f.output, count(len(exchanges)), count(own), count(shown), float64(passages)/float64(len(exchanges)))
	return nil
}

func questionsOf(path string) ([]trainset.Question, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, _, err := corpus.Decompress(file, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return trainset.ReadQuestions(r)
}

// writeExchanges writes the header and an exchange a line, compressed as the name says.
func writeExchanges(path string, header trainset.ExchangesHeader, exchanges []trainset.Exchange) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		compressed, err := compressor(w, path)
		if err != nil {
			return err
		}
		buffered := bufio.NewWriterSize(compressed, 1<<20)
		out := json.NewEncoder(buffered)
		if err := out.Encode(header); err != nil {
			return err
		}
		for _, x := range exchanges {
			if err := out.Encode(x); err != nil {
				return err
			}
		}
		return errors.Join(buffered.Flush(), compressed.Close())
	})
}
