package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"github.com/flashback-lm/flashback/internal/bench"
)

func shapeNames() []string {
	var names []string
	for _, s := range bench.Shapes {
		names = append(names, s.Name)
	}
	return names
}

// compute prints what strides cost a model of a shape.
func (f *benchLoopFlags) compute(out io.Writer, o bench.LoopOptions) error {
	shape, err := bench.ParseShape(f.shape)
	if err != nil {
		return usageError{err}
	}
	costs, err := bench.Costs(shape, o)
	if err != nil {
		return usageError{err}
	}
	if f.json {
		return writeJSON(out, costs)
	}
	fmt.Fprintf(out, "computed, not measured: a stride of %s, weights %s (head %s), %d bytes a number in the KV cache\n\n",
		shape.Name, shape.Blocks, shape.Head, shape.KVBytes)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "context\tplacement\tk\tTFLOP\tvs prepend\tweights read\tKV moved\tvs prepend (bytes)\tprefilled\tdecoded\treused\t")
	for _, c := range costs {
		fmt.Fprintf(w, "%d\t%s\t%d\t%.4f\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t\n", c.Context, c.Name(), c.Passages,
			float64(c.FLOPs)/1e12, times(c.FLOPsRatio), humanize.IBytes(uint64(c.WeightBytes)), humanize.IBytes(uint64(c.KVBytes)),
			times(c.BytesRatio), c.Prefilled, c.Decoded, c.Reused)
	}
	return w.Flush()
}
