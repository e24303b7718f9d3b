package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/trec"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// searchFlags are the flags of search.
type searchFlags struct {
	query   retrieve.Query
	opt     bm25.Options
	indexes []string
	topics  string
	format  string
	json    bool
	full    bool
	stats   bool
}

func newSearchCmd() *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use:   "search INDEX WORDS...",
		Short: "Find passages in an index",
		Long: `Search prints the passages of the index in the directory INDEX, or of several that
--index names, that fit the words best: title, score and place of each, the headings that it stands under, and what
of it is around the words; --full prints it whole. With --topics it asks many
queries instead.`,
		Example: `  flashback search notes.index read a file line by line
  flashback search --index notes.index --full -k 3 red kettle
  flashback search --index notes.index --index mail.index red kettle
  flashback search notes.index red kettle --json
  flashback search wiki.index --topics topics.tsv --format trec -k 10 > run.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.indexes) == 0 && len(args) > 0 {
				f.indexes, args = args[:1], args[1:]
			}
			if f.json {
				f.format = "json"
			}
			switch {
			case len(f.indexes) == 0:
				return usagef("name the index and what to look for: flashback search INDEX WORDS")
			case len(args) > 0 && f.topics != "":
				return usagef("give words, or queries with --topics")
			case len(args) == 0 && f.topics == "":
				return usagef("say what to look for: flashback search %s WORDS", f.indexes[0])
			case f.query.K < 1:
				return usagef("-k must be at least 1")
			case f.format != "text" && f.format != "json" && f.format != "trec":
				return usagef("--format %q is not one of text, json and trec", f.format)
			}
			index, err := bm25.OpenAll(f.indexes, f.opt)
			if err != nil {
				return err
			}
			defer index.Close()
			topics := []trec.Topic{{ID: "1", Query: strings.Join(args, " ")}}
			if f.topics != "" {
				if topics, err = trec.ReadTopics(f.topics); err != nil {
					return err
				}
			}
			return f.run(cmd, index, topics)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.indexes, "index", nil, "the index's `DIR`, in place of the first word (repeatable: several are searched as one)")
	fl.IntVarP(&f.query.K, "k", "k", 10, "passages a query")
	fl.BoolVar(&f.json, "json", false, "print a line of JSON a passage")
	fl.BoolVar(&f.full, "full", false, "print whole passages")
	fl.StringVar(&f.topics, "topics", "", "a `FILE` of queries, a line each: id, a tab, the query")
	fl.StringVar(&f.format, "format", "text", "text, json or trec (a run file)")
	fl.StringArrayVar(&f.query.ExcludeIDs, "exclude-id", nil, "leave out the passage with this id (repeatable)")
	fl.StringArrayVar(&f.query.ExcludeTitles, "exclude-title", nil, "leave out passages of this title (repeatable)")
	fl.StringArrayVar(&f.query.ExcludeSources, "exclude-file", nil, "leave out passages of this file (repeatable)")
	fl.Float64Var(&f.opt.K1, "k1", bm25.DefaultK1, "BM25's k1: how soon a repeated word counts no more")
	fl.Float64Var(&f.opt.B, "b", bm25.DefaultB, "BM25's b: how much longer passages are held back")
	fl.BoolVar(&f.stats, "stats", false, "say how much of the postings was looked at")
	return cmd
}

func (f *searchFlags) run(cmd *cobra.Command, index *bm25.Several, topics []trec.Topic) error {
	target := cmd.OutOrStdout()
	if f.format != "trec" {
		target = terminal.Raw(target) // those clean what they write themselves
	}
	out := bufio.NewWriter(target)
	defer out.Flush()
	var roots []bm25.Root
	for _, p := range index.Parts() {
		roots = append(roots, p.Index.Roots()...)
	}
	short := shortNames(roots)
	shown := newHitPrinter(out, index.Analyzer(), f.full)
	if terminal.Is(cmd.OutOrStdout()) && os.Getenv("NO_COLOR") == "" {
		shown.open, shown.end = "\x1b[1m", "\x1b[0m"
	}
	for _, t := range topics {
		q := f.query
		q.Text = t.Query
		q.ExcludeIDs, q.ExcludeSources = fullNames(roots, q.ExcludeIDs), fullNames(roots, q.ExcludeSources)
		hits, stats, err := index.Search(q, nil)
		if err != nil {
			return err
		}
		if len(hits) == 0 && f.topics == "" {
			fmt.Fprintln(cmd.ErrOrStderr(), f.nothingFound(stats))
		}
		for rank, h := range hits {
			p, err := index.Passage(h.Doc)
			if err != nil {
				return err
			}
			if p.Title == p.Source {
				p.Title = short(p.Title)
			}
			p.Score, p.Source, p.ID = h.Score, short(p.Source), short(p.ID)
			switch f.format {
			case "json":
				topic := ""
				if f.topics != "" {
					topic = t.ID
				}
				err = writeHit(out, topic, rank+1, p)
			case "trec":
				err = trec.WriteRun(out, t.ID, rank+1, p)
			default:
				err = shown.print(t.Query, rank+1, p)
			}
			if err != nil {
				return err
			}
		}
		if f.stats {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d terms, %s of %s postings decoded\n", t.ID, stats.Terms,
				humanize.Comma(int64(stats.Decoded)), humanize.Comma(int64(stats.Postings)))
		}
	}
	return out.Flush()
}

// nothingFound says why there is no hit.
func (f *searchFlags) nothingFound(stats bm25.SearchStats) string {
	switch {
	case stats.Terms == 0:
		return "flashback: nothing found: the index has none of these words, or they are only words like 'the' and 'of'"
	case len(f.query.ExcludeIDs)+len(f.query.ExcludeTitles)+len(f.query.ExcludeSources) > 0:
		return "flashback: nothing found but what is left out"
	}
	return "flashback: nothing found"
}
