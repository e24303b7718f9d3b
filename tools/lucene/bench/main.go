// Bench times queries on our index, Lucene's and tantivy's in turns, so that all
// meet the same machine: one query stream, one core each, rounds interleaved.
//
//	bench -index DIR -queries FILE [-k 10] [-rounds 20] NAME=COMMAND ...
//
// A COMMAND reads the queries from its standard input and, for each line "go",
// answers with a line of nanoseconds a query (see Reference.java and tantivy.py).
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/trec"
)

// engine runs all queries once and returns the nanoseconds of each.
type engine struct {
	name string
	run  func() ([]float64, error)
}

func main() {
	index := flag.String("index", "", "our index")
	queries := flag.String("queries", "", "lines of id, tab, query")
	k := flag.Int("k", 10, "passages a query")
	rounds := flag.Int("rounds", 20, "times that all queries are run; the first quarter warms up")
	text := flag.Bool("text", false, "also read the found passages of our index")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	topics, err := trec.ReadTopics(*queries)
	if err != nil {
		log.Fatal(err)
	}
	engines := []engine{ours("flashback", *index, topics, *k, false)}
	if *text {
		engines = append(engines, ours("flashback+text", *index, topics, *k, true))
	}
	for _, arg := range flag.Args() {
		name, command, _ := strings.Cut(arg, "=")
		engines = append(engines, other(name, command, topics))
	}
	times := make([][][]float64, len(engines)) // engine, query, round
	for i := range times {
		times[i] = make([][]float64, len(topics))
	}
	for round := range *rounds {
		for i, e := range engines {
			t, err := e.run()
			if err != nil {
				log.Fatalf("%s: %v", e.name, err)
			}
			for q := range t {
				if round >= *rounds/4 {
					times[i][q] = append(times[i][q], t[q])
				}
			}
		}
	}
	fmt.Printf("milliseconds, k = %d, %d queries, %d rounds; of each query's median, and of all times\n", *k, len(topics), *rounds)
	fmt.Printf("%-16s %8s %8s %8s   %8s %8s %8s\n", "", "p50", "p95", "p99", "p50", "p95", "p99")
	for i, e := range engines {
		var medians, all []float64
		for _, t := range times[i] {
			medians = append(medians, quantile(t, 0.5))
			all = append(all, t...)
		}
		fmt.Printf("%-16s", e.name)
		for _, t := range [][]float64{medians, all} {
			fmt.Printf(" %8.3f %8.3f %8.3f  ", quantile(t, 0.5)/1e6, quantile(t, 0.95)/1e6, quantile(t, 0.99)/1e6)
		}
		fmt.Println()
	}
}

// quantile sorts t and returns the value that a share q of it does not exceed.
func quantile(t []float64, q float64) float64 {
	slices.Sort(t)
	return t[int(q*float64(len(t)-1))]
}

func ours(name, dir string, topics []trec.Topic, k int, text bool) engine {
	x, err := bm25.Open(dir, bm25.Options{})
	if err != nil {
		log.Fatal(err)
	}
	var decoded, all []float64
	for _, t := range topics {
		_, s, err := x.Search(retrieve.Query{Text: t.Query, K: k}, nil)
		if err != nil {
			log.Fatal(err)
		}
		decoded, all = append(decoded, float64(s.Decoded)/float64(max(s.Postings, 1))), append(all, float64(s.Postings))
	}
	slices.Sort(decoded)
	slices.Sort(all)
	fmt.Printf("%s: of %.0f postings a query %.1f %% are decoded (medians)\n", name, all[len(all)/2], 100*decoded[len(decoded)/2])
	var hits []bm25.Hit
	return engine{name, func() ([]float64, error) {
		out := make([]float64, len(topics))
		for i, t := range topics {
			start := time.Now()
			var err error
			if hits, _, err = x.Search(retrieve.Query{Text: t.Query, K: k}, hits[:0]); err != nil {
				return nil, err
			}
			if text {
				for _, h := range hits {
					if _, err := x.Passage(h.Doc); err != nil {
						return nil, err
					}
				}
			}
			out[i] = float64(time.Since(start))
		}
		return out, nil
	}}
}

func other(name, command string, topics []trec.Topic) engine {
	cmd := exec.Command("sh", "-c", command)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	for _, t := range topics {
		fmt.Fprintf(in, "%s\t%s\n", t.ID, t.Query)
	}
	out := bufio.NewReaderSize(pipe, 1<<20)
	return engine{name, func() ([]float64, error) {
		if _, err := io.WriteString(in, "go\n"); err != nil {
			return nil, err
		}
		line, err := out.ReadString('\n')
		if err != nil {
			return nil, err
		}
		var ns []float64
		for f := range strings.FieldsSeq(line) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				return nil, err
			}
			ns = append(ns, v)
		}
		return ns, nil
	}}
}
