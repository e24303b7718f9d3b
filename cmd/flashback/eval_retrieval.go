package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/trec"
)

func newEvalRetrievalCmd() *cobra.Command {
	var qrels, topics, run string
	var cutoffs []int
	var k int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "retrieval [INDEX]",
		Short: "Measure how well passages are found",
		Long: `Retrieval compares what is found with relevance judgements (qrels: topic,
iteration, passage, grade) and prints nDCG@10, MRR@10, MAP and recall, the means
over the judged topics as trec_eval -c computes them. What is found comes from
INDEX and --topics, or from a run file of any retriever.`,
		Example: `  flashback eval retrieval wiki.index --qrels qrels.txt --topics topics.tsv
  flashback eval retrieval --qrels qrels.txt --run run.txt --recall 1,5,20`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if qrels == "" {
				return usagef("name the judgements with --qrels")
			}
			if (len(args) == 1) == (run != "") || (len(args) == 1) != (topics != "") {
				return usagef("give an index and --topics, or --run")
			}
			if k < 1 {
				return usagef("-k must be at least 1")
			}
			judged, err := trec.ReadQrels(qrels)
			if err != nil {
				return err
			}
			var found trec.Run
			if run != "" {
				found, err = trec.ReadRun(run)
			} else {
				found, err = runTopics(args[0], topics, k)
			}
			if err != nil {
				return err
			}
			measures := trec.Evaluate(judged, found, cutoffs)
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(measures)
			}
			for _, m := range measures {
				fmt.Fprintf(cmd.OutOrStdout(), "%-8s %.4f\n", m.Name, m.Value)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&qrels, "qrels", "", "file of judgements")
	fl.StringVar(&topics, "topics", "", "file of queries, a line each: id, a tab, the query")
	fl.StringVar(&run, "run", "", "run file to measure instead of an index")
	fl.IntSliceVar(&cutoffs, "recall", []int{1, 5, 20}, "the ranks to which recall is counted")
	fl.IntVarP(&k, "k", "k", 100, "passages a query")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// runTopics searches an index for every topic.
func runTopics(dir, path string, k int) (trec.Run, error) {
	topics, err := trec.ReadTopics(path)
	if err != nil {
		return nil, err
	}
	index, err := bm25.Open(dir, bm25.Options{})
	if err != nil {
		return nil, err
	}
	defer index.Close()
	run := trec.Run{}
	for _, t := range topics {
		hits, _, err := index.Search(retrieve.Query{Text: t.Query, K: k}, nil)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			p, err := index.Passage(h.Doc)
			if err != nil {
				return nil, err
			}
			run[t.ID] = append(run[t.ID], trec.Found{ID: p.ID, Score: h.Score})
		}
	}
	return run, nil
}
