package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/bench"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/peer"
	"github.com/flashback-lm/flashback/internal/progress"
)

// runRemote measures the loop on the server of --engine.
func (f *benchLoopFlags) runRemote(cmd *cobra.Command, o bench.LoopOptions) error {
	found, err := hub.Resolve(f.model)
	if err != nil {
		return err
	}
	t, err := model.LoadTokenizer(found.Path)
	if err != nil {
		return err
	}
	e, err := peer.Dial(cmd.Context(), f.remote.options, t)
	if err != nil {
		return err
	}
	docs, err := f.documents(cmd.Context())
	if err != nil {
		return err
	}
	text := bench.NewText(docs, t.Encode)
	defer text.Close()
	bar := progress.New(cmd.ErrOrStderr(), "measuring strides", int64(len(o.Placements)*len(o.Contexts)*o.Rounds), false)
	o.Step = func() { bar.Add(1) }
	rows, err := bench.Remote(cmd.Context(), e, text, o)
	bar.Finish()
	if len(rows) > 0 { // of an interrupted run, what it finished
		err = errors.Join(err, f.printRemote(cmd.OutOrStdout(), rows))
	}
	return err
}

func (f *benchLoopFlags) printRemote(out io.Writer, rows []bench.RemoteRow) error {
	if f.json {
		return writeJSON(out, rows)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "context\tplacement\tms/token\tmin … max\tvs prepend\tcomputed\tby the table\tcached\t")
	for _, r := range rows {
		computed, cached := fmt.Sprint(r.Computed), fmt.Sprint(r.Cached)
		if r.Computed < 0 {
			computed, cached = "not told", "not told"
		}
		fmt.Fprintf(w, "%d\t%s\t%.2f\t%.2f … %.2f\t%s\t%s\t%d\t%s\t\n", r.Context, r.Name(),
			r.MSPerToken, r.MinMSPerToken, r.MaxMSPerToken, times(r.RatioToPrepend), computed, r.Table, cached)
	}
	return w.Flush()
}
