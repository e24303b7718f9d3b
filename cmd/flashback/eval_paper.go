package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// evalPaperFlags are the flags of eval paper.
type evalPaperFlags struct {
	scoringFlags
	domain         string
	rows, adapters []string
	json           bool
}

func newEvalPaperCmd() *cobra.Command {
	f := evalPaperFlags{scoringFlags: scoringFlags{own: true}}
	cmd := &cobra.Command{
		Use:   "paper --model MODEL --domain NAME --data FILE --index DIR",
		Short: "Fill the FlashBack paper's tables for a model and a domain",
		Long: `Paper scores the rows of the tables of FlashBack (arXiv 2405.04065), and those that
we put beside them, as 'flashback eval perplexity' does: contexts of up to 512 tokens,
a look-up every 16, queries of 32, one passage of up to 128.

  none              no retrieval
  prepend           the passage in front of the context
  prepend-lora      … with an adapter trained so
  append            the passage behind the context, untuned
  append-lora       … with an adapter trained so
  flashback         … with an adapter trained so, and marks around the passage
ours:
  none-lora         an adapter trained without retrieval: what tuning alone gains
  prepend-random    passages drawn at random
  flashback-random
  prepend-best      of ten passages, each shown alone, the one that predicts best
  flashback-best
  virtual           the passage in front of the context by its positions alone
  virtual-lora      … with an adapter trained so
  none-reserve      no retrieval, the text where virtual's stands (OPT, GPT-2)

Rows with LoRA need an adapter, which --adapter NAME=DIR gives under the row's name
(flashback's is also that of flashback-random and flashback-best). Rows without theirs
are left out, and the commands that make it by the paper's recipe are printed. For models
of the paper's OPT shapes the published figures stand beside ours. What differs from
the paper's procedure is in docs/reproduce.md.`,
		Example: `  flashback eval paper --model opt-1.3b --domain arxiv --data arxiv.eval.jsonl --index arxiv.index --windows 100
  flashback eval paper --model opt-1.3b --domain arxiv --data arxiv.eval.jsonl --index arxiv.index \
      --adapter none-lora=arxiv.none-lora --adapter flashback=arxiv.flashback -o arxiv.scores.jsonl
  flashback eval paper --model gpt2 --domain wikitext --data wiki.jsonl --index wiki.index --rows none,none-reserve,virtual --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.domain, "domain", "", "what the texts are: "+strings.Join(eval.Domains, ", "))
	fs.StringSliceVar(&f.rows, "rows", nil, "`NAMES` of the rows to score (default: all that have their adapter)")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "the adapter of a row, `NAME=DIR` (repeatable)")
	fs.BoolVar(&f.json, "json", false, "print one object")
	return cmd
}

func (f *evalPaperFlags) run(cmd *cobra.Command) error {
	if f.domain == "" {
		return usagef("name the domain with --domain: one of %s", strings.Join(eval.Domains, ", "))
	}
	if _, err := eval.ParseDomain(f.domain); err != nil {
		return usageError{err}
	}
	if err := f.check(nil); err != nil {
		return err
	}
	if f.index == "" {
		return usagef("name the index that passages are looked up in with --index ('flashback index' makes one)")
	}
	m, err := f.open()
	if err != nil {
		return err
	}
	defer m.Close()
	result, err := f.choose(m)
	if err != nil {
		return err
	}
	var rows []eval.Row
	for _, r := range result.Rows {
		rows = append(rows, r.Row)
	}
	report := func(s *scored) error {
		if s != nil {
			result.Result = eval.Summarise(s.log, rows, s.windows, eval.PaperPairs(result.Rows))
		}
		if f.json {
			return result.JSON(cmd.OutOrStdout())
		}
		return result.Markdown(cmd.OutOrStdout())
	}
	if len(rows) == 0 {
		return report(nil)
	}
	return f.score(cmd, m, rows, f.adapters, report)
}

// choose returns the table that is to be filled: the rows that have their adapters, and
// those that have not.
func (f *evalPaperFlags) choose(m *model.Model) (eval.PaperResult, error) {
	result := eval.PaperResult{Model: filepath.Base(m.Path), Domain: f.domain}
	all := eval.PaperRows(m.Config, f.model.reserve)
	chosen, err := eval.ChoosePaperRows(all, f.rows)
	if err != nil {
		return result, usageError{fmt.Errorf("--rows: %w", err)}
	}
	if p, ok := eval.PublishedFor(m.Config); ok {
		result.Published = &p
	}
	makes := func(name string) (eval.PaperRow, bool) { // the row that an adapter is made for
		i := slices.IndexFunc(all, func(r eval.PaperRow) bool { return r.Name == name && r.Trained != nil })
		if i < 0 {
			return eval.PaperRow{}, false
		}
		return all[i], true
	}
	given := map[string]bool{}
	for _, named := range f.adapters {
		name, _, _ := strings.Cut(named, "=")
		if _, ok := makes(name); !ok {
			return result, usagef("--adapter %s: no row has an adapter of the name %q", named, name)
		}
		given[name] = true
	}
	f.accepts = func(name string, info lora.Info) error {
		r, _ := makes(name)
		if err := r.CheckAdapter(info); err != nil {
			return fmt.Errorf("--adapter %s: %w", name, err)
		}
		return nil
	}
	var missing []eval.PaperRow // that adapters are to be made for
	for _, r := range chosen {
		if r.Row.Adapter == "" || given[r.Row.Adapter] {
			result.Rows = append(result.Rows, r)
			continue
		}
		result.Left = append(result.Left, r)
		if made, _ := makes(r.Row.Adapter); !slices.ContainsFunc(missing, func(m eval.PaperRow) bool { return m.Name == made.Name }) {
			missing = append(missing, made)
		}
	}
	result.Commands = f.commands(missing)
	return result, nil
}

// commands make the adapters of rows: from the paper's 16,000 examples of one stride each,
// 16 of them a step.
func (f *evalPaperFlags) commands(rows []eval.PaperRow) []string {
	if len(rows) == 0 {
		return nil
	}
	examples := f.domain + ".examples"
	commands := []string{fmt.Sprintf("flashback prepare %s.train.jsonl --model %s --index %s -k 1 --branches 1 --windows 16000 -o %s",
		f.domain, f.model.model, f.index, examples)}
	for _, r := range rows {
		flags := strings.Join(append(slices.Clone(r.Trained), fmt.Sprintf("-o %s.%s", f.domain, r.Name)), " ")
		commands = append(commands, fmt.Sprintf("flashback train %s --model %s --recipe paper %s", examples, f.model.model, flags))
	}
	return commands
}
