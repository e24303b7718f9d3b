// Score scores examples of a chat with the engine, for `train.py --check` to compare with:
//
//	go run ./tools/peft/score -model MODEL.gguf -row virtual:echo=turn:k=2 train.questions.jsonl.gz > cases.jsonl
//
// Each of the first questions is asked with the best passages found, and its answer scored in exact compute.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/lm"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/trainset"
)

// scored is an eval.Case with what a chat has besides.
type scored struct {
	eval.Case
	Turn      int     `json:"turn"`
	Separator []int32 `json:"separator"`
}

func main() {
	path := flag.String("model", "", "the model, a GGUF `FILE`")
	adapter := flag.String("adapter", "", "an adapter's `DIR`")
	row := flag.String("row", "virtual:echo=turn:k=2", "a `ROW` as of eval qa")
	limit := flag.Int("limit", 4, "questions to score")
	flag.Parse()
	if err := run(*path, *adapter, *row, flag.Arg(0), *limit); err != nil {
		log.Fatal(err)
	}
}

func run(path, adapter, row, questions string, limit int) error {
	r, err := eval.ParseRow(row, -1)
	if err != nil {
		return err
	}
	m, err := model.Load(path)
	if err != nil {
		return err
	}
	e, err := engine.New(&m.Weights, engine.Options{Compute: engine.Exact})
	if err != nil {
		return err
	}
	defer e.Close()
	var marks *lora.Marks
	var tuned *engine.Adapter
	if adapter != "" {
		read, err := lora.Read(adapter, lora.ShapeOf(&m.Weights))
		if err != nil {
			return err
		}
		if tuned, err = e.LoadAdapter(read); err != nil {
			return err
		}
		marks = read.Info.Marks
	}
	file, err := os.Open(questions)
	if err != nil {
		return err
	}
	defer file.Close()
	decompressed, _, err := corpus.Decompress(file, questions)
	if err != nil {
		return err
	}
	defer decompressed.Close()
	in, out := json.NewDecoder(bufio.NewReader(decompressed)), json.NewEncoder(os.Stdout)
	var header trainset.ExchangesHeader
	if err := in.Decode(&header); err != nil {
		return err
	}
	for n := range limit {
		var x trainset.Exchange
		if err := in.Decode(&x); err != nil {
			return err
		}
		c := scored{Case: eval.Case{Row: row, Window: n, Placement: r.Placement.Name, Echo: r.Placement.Echo, Context: x.Tokens[:x.Context], Target: x.Tokens[x.Context:]}, Turn: x.Turn, Separator: header.Separator}
		var evidence []lm.Evidence
		var joined []int32
		for _, p := range x.Passages[:min(r.K, len(x.Passages))] {
			tokens := p.Tokens
			if marks != nil {
				tokens = append(append([]int32{marks.Left}, tokens...), marks.Right)
			}
			c.Evidence = append(c.Evidence, p.Tokens)
			evidence = append(evidence, lm.Evidence{Tokens: tokens, Weight: 1})
			joined = append(append(joined, tokens...), header.Separator...)
		}
		p := r.Placement.ForTurn(x.Context, x.Turn)
		if p.Evidence == placement.AtZero {
			p.At, evidence = x.Turn, []lm.Evidence{{Tokens: joined, Weight: 1}}
		}
		s := e.NewSequence()
		if err := s.SetAdapter(tuned); err != nil {
			return err
		}
		if err := s.Append(c.Context...); err != nil {
			return err
		}
		if c.Ours, err = s.Score(context.Background(), p, evidence, c.Target); err != nil {
			return fmt.Errorf("question %q: %w", x.Question, err)
		}
		s.Close()
		if err := out.Encode(c); err != nil {
			return err
		}
	}
	return nil
}
