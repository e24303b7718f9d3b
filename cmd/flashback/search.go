package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
	"github.com/flashback-lm/flashback/internal/retrieve/trec"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// searchFlags are the flags of search.
type searchFlags struct {
	query  retrieve.Query
	opt    bm25.Options
	topics string
	format string
	stats  bool
}

func newSearchCmd() *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use:   "search DIR [QUERY]",
		Short: "Find passages in an index",
		Long: `Search prints the passages of the index in DIR that fit QUERY best, with the words
that matched marked; or, with --topics, those of many queries.`,
		Example: `  flashback search notes.index "read a file line by line"
  flashback search notes.index "read a file line by line" -k 3 --format json
  flashback search wiki.index --topics topics.tsv --format trec -k 10 > run.txt`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (len(args) == 2) == (f.topics != ""):
				return usagef("give one query, or queries with --topics")
			case f.query.K < 1:
				return usagef("-k must be at least 1")
			case f.format != "text" && f.format != "json" && f.format != "trec":
				return usagef("--format %q is not one of text, json and trec", f.format)
			}
			index, err := bm25.Open(args[0], f.opt)
			if err != nil {
				return err
			}
			defer index.Close()
			topics := []trec.Topic{{ID: "1", Query: strings.Join(args[1:], " ")}}
			if f.topics != "" {
				if topics, err = trec.ReadTopics(f.topics); err != nil {
					return err
				}
			}
			return f.run(cmd, index, topics)
		},
	}
	fl := cmd.Flags()
	fl.IntVarP(&f.query.K, "k", "k", 10, "passages a query")
	fl.StringVar(&f.topics, "topics", "", "a file of queries, a line each: id, a tab, the query")
	fl.StringVar(&f.format, "format", "text", "text, json (a line a passage) or trec (a run file)")
	fl.StringArrayVar(&f.query.ExcludeIDs, "exclude-id", nil, "leave out the passage with this id (repeatable)")
	fl.StringArrayVar(&f.query.ExcludeTitles, "exclude-title", nil, "leave out passages of this title (repeatable)")
	fl.StringArrayVar(&f.query.ExcludeSources, "exclude-file", nil, "leave out passages of this file (repeatable)")
	fl.Float64Var(&f.opt.K1, "k1", bm25.DefaultK1, "BM25's k1: how soon a repeated word counts no more")
	fl.Float64Var(&f.opt.B, "b", bm25.DefaultB, "BM25's b: how much longer passages are held back")
	fl.BoolVar(&f.stats, "stats", false, "say how much of the postings was looked at")
	return cmd
}

func (f *searchFlags) run(cmd *cobra.Command, index *bm25.Index, topics []trec.Topic) error {
	out := bufio.NewWriter(cmd.OutOrStdout())
	defer out.Flush()
	for _, t := range topics {
		q := f.query
		q.Text = t.Query
		hits, stats, err := index.Search(q, nil)
		if err != nil {
			return err
		}
		if stats.Terms == 0 && f.topics == "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "flashback: the index has none of the query's words, or it has only words like 'the' and 'of'")
		}
		for rank, h := range hits {
			p, err := index.Passage(h.Doc)
			if err != nil {
				return err
			}
			p.Score = h.Score
			if err := f.print(out, cmd.OutOrStdout(), index.Info().Analyzer, t, rank+1, p); err != nil {
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

// print writes one passage.
func (f *searchFlags) print(out io.Writer, target io.Writer, analyzer string, t trec.Topic, rank int, p retrieve.Passage) error {
	switch f.format {
	case "json":
		line := struct {
			Topic string `json:"topic,omitempty"`
			Rank  int    `json:"rank"`
			retrieve.Passage
		}{Rank: rank, Passage: p}
		if f.topics != "" {
			line.Topic = t.ID
		}
		return json.NewEncoder(out).Encode(line)
	case "trec":
		return trec.WriteRun(out, t.ID, rank, p)
	}
	open, end := "[", "]"
	if terminal.Is(target) && os.Getenv("NO_COLOR") == "" {
		open, end = "\x1b[1m", "\x1b[0m"
	}
	text, err := analysis.Mark(analyzer, t.Query, p.Text, open, end)
	if err != nil {
		return err
	}
	place := p.ID
	if p.Source != "" && !strings.HasPrefix(p.ID, p.Source) {
		place += "  " + p.Source
	}
	_, err = fmt.Fprintf(out, "%d. %s  (%.2f)  %s\n   %s\n\n", rank, p.Title, p.Score, place, strings.Join(strings.Fields(text), " "))
	return err
}
