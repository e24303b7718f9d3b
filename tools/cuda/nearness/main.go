// Nearness says how near a card's logits are to those of exact compute on the CPU, with real
// weights and real text:
//
//	go run -tags cuda ./tools/cuda/nearness -model MODEL.gguf -of wikitext2-test/ wikitext2.jsonl.zst
//
// Exact compute has the weights as they are stored. Beside it stands the card with the same,
// and with what they become when they are expanded and rounded again: to f16, bf16 or Q8_0, and
// to fp8 as they are. So what a rounding costs is known of a file that holds none of them.
//
// Printed are perplexity and its ratio to exact's, the mean KL divergence from exact, both
// with a 95 % interval over positions (normal), and at how many positions the best token is
// the same.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/sample"
	"github.com/flashback-lm/flashback/internal/tensor"
	"github.com/flashback-lm/flashback/internal/tensor/quant"
)

const stored, float8 = "stored", "fp8"

func main() {
	path := flag.String("model", "", "the model, a GGUF `FILE` or a directory")
	windows := flag.Int("windows", 8, "windows to compute")
	size := flag.Int("tokens", 512, "tokens a window")
	of := flag.String("of", "", "take only documents whose id begins with this `PREFIX`")
	dev := flag.String("device", "cuda", "what is compared with exact compute: cuda, or cpu for its fast compute")
	weights := flag.String("weights", "stored,f16,bf16,q8_0,fp8", "what it has the weights in")
	flag.Parse()
	c := comparison{device: *dev, windows: *windows, size: *size}
	if err := c.run(*path, flag.Arg(0), *of, strings.Split(*weights, ",")); err != nil {
		log.Fatal(err)
	}
}

// comparison is what is compared.
type comparison struct {
	device        string
	windows, size int
	exact         *engine.Engine
	others        []*other
}

// other is an engine beside the exact one, with a number a position of each kind.
type other struct {
	*engine.Engine
	name     string
	kl, loss []float64
	same     int
}

func (c *comparison) run(path, data, of string, weights []string) error {
	m, err := model.Load(path)
	if err != nil {
		return err
	}
	defer m.Close()
	windows, err := c.cut(m, data, of)
	if err != nil {
		return err
	}
	if c.exact, err = engine.New(&m.Weights, engine.Options{Compute: engine.Exact, Device: "cpu"}); err != nil {
		return err
	}
	defer c.exact.Close()
	for _, name := range weights {
		w, err := rounded(&m.Weights, name)
		if err != nil {
			return err
		}
		e, err := engine.New(w, engine.Options{Compute: engine.Fast, Device: c.device, Float8: name == float8, KVBudget: 1 << 28})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer e.Close()
		c.others = append(c.others, &other{Engine: e, name: name})
	}
	var exact []float64 // losses
	start := time.Now()
	for _, window := range windows {
		losses, err := c.compare(window)
		if err != nil {
			return err
		}
		exact = append(exact, losses...)
	}
	fmt.Printf("%s, %d windows of %d tokens, %d positions, %s beside exact compute on the CPU, %.0f s\n\n",
		m.Config.Name, len(windows), c.size, len(exact), c.others[0].Device().Info().Name, time.Since(start).Seconds())
	c.print(exact)
	return nil
}

// cut returns windows of the text's tokens, each behind what the model has in front of one.
func (c *comparison) cut(m *model.Model, data, of string) ([][]int32, error) {
	var text strings.Builder
	for doc, err := range corpus.Texts(corpus.Read(context.Background(), data, corpus.Options{})) {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(doc.ID, of) {
			text.WriteString(doc.Text)
		}
	}
	lead := m.Tokenizer.Lead()
	ids, own := m.Tokenizer.Encode(text.String()), c.size-len(lead)
	if own < 2 || len(ids) < c.windows*own {
		return nil, fmt.Errorf("%s has %d tokens, fewer than %d windows of %d", data, len(ids), c.windows, own)
	}
	var windows [][]int32
	for at := range c.windows {
		windows = append(windows, slices.Concat(lead, ids[at*own:(at+1)*own]))
	}
	return windows, nil
}

// compare adds the positions of a window, and returns exact's losses of them.
func (c *comparison) compare(window []int32) ([]float64, error) {
	want, err := logits(c.exact, window)
	if err != nil {
		return nil, err
	}
	losses := make([]float64, len(want))
	logs := make([]float64, len(want))
	for i, row := range want {
		logs[i] = sample.LogSumExp(row)
		losses[i] = logs[i] - float64(row[window[i+1]])
	}
	for _, o := range c.others {
		got, err := logits(o.Engine, window)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.name, err)
		}
		kl, loss, same := make([]float64, len(got)), make([]float64, len(got)), make([]bool, len(got))
		var work errgroup.Group
		work.SetLimit(runtime.GOMAXPROCS(0))
		for i, row := range got {
			work.Go(func() error {
				q := sample.LogSumExp(row)
				for v, x := range row {
					p := float64(want[i][v]) - logs[i]
					kl[i] += math.Exp(p) * (p - (float64(x) - q))
				}
				loss[i], same[i] = q-float64(row[window[i+1]]), best(row) == best(want[i])
				return nil
			})
		}
		if err := work.Wait(); err != nil {
			return nil, err
		}
		o.kl, o.loss = append(o.kl, kl...), append(o.loss, loss...)
		for _, s := range same {
			if s {
				o.same++
			}
		}
	}
	return losses, nil
}

func (c *comparison) print(exact []float64) {
	mean, _ := interval(exact)
	fmt.Print("| weights | perplexity | of exact's | 95 % | KL to exact, nats | 95 % | best token the same |\n|---|---:|---:|---:|---:|---:|---:|\n")
	fmt.Printf("| exact compute | %.3f | | | | | |\n", math.Exp(mean))
	for _, o := range c.others {
		more := make([]float64, len(exact))
		for i := range more {
			more[i] = o.loss[i] - exact[i]
		}
		loss, _ := interval(o.loss)
		ratio, within := interval(more)
		kl, klWithin := interval(o.kl)
		fmt.Printf("| %s | %.3f | %+.2f %% | ± %.2f | %.5f | ± %.5f | %.1f %% |\n", o.name, math.Exp(loss),
			100*(math.Exp(ratio)-1), 100*within, kl, klWithin, 100*float64(o.same)/float64(len(exact)))
	}
}

// rounded returns the weights with their matrices in another form.
func rounded(w *model.Weights, name string) (*model.Weights, error) {
	if name == stored || name == float8 {
		return w, nil
	}
	out := *w
	out.Layers = slices.Clone(w.Layers)
	to := tensor.TypeNamed(strings.ToUpper(name))
	for s, m := range out.All() {
		product := s.Role.Projection() || s.Role == model.Head || s.Role == model.ProjectIn || s.Role == model.ProjectOut
		if m.Rows == 0 || !product {
			continue
		}
		expanded := tensor.Matrix{Name: m.Name, Type: to, Rows: m.Rows, Cols: m.Cols}
		row := make([]float32, m.Cols)
		for i := range m.Rows {
			quant.Row(row, *m, i)
			switch {
			case to == tensor.F16:
				for _, v := range row {
					expanded.Data = binary.LittleEndian.AppendUint16(expanded.Data, tensor.ToHalf(v))
				}
			case to == tensor.BF16:
				for _, v := range row {
					expanded.Data = binary.LittleEndian.AppendUint16(expanded.Data, tensor.ToBF16(v))
				}
			case quant.CanQuantize(to):
				data, err := quant.Quantize(to, row)
				if err != nil {
					return nil, err
				}
				expanded.Data = append(expanded.Data, data...)
			default:
				return nil, fmt.Errorf("weights cannot be rounded to %q", name)
			}
		}
		*m = expanded
	}
	return &out, nil
}

// logits returns those that predict each token of the window but the first.
func logits(e *engine.Engine, window []int32) (rows [][]float32, err error) {
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(window[0]); err != nil {
		return nil, err
	}
	err = s.Logits(context.Background(), placement.None, nil, window[1:], func(row []float32) { rows = append(rows, slices.Clone(row)) })
	if err == nil && len(rows) != len(window)-1 {
		err = errors.New("logits are missing")
	}
	return rows, err
}

func best(row []float32) int { return slices.Index(row, slices.Max(row)) }

// interval returns a mean, and the half of its 95 % interval.
func interval(values []float64) (mean, half float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		half += (v - mean) * (v - mean)
	}
	return mean, 1.96 * math.Sqrt(half) / n
}
