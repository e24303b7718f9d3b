package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/adapters"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/lora"
)

// adapterFlag is the flag that names an adapter.
type adapterFlag struct {
	dir  string
	own  bool      // it is the one that comes with the program
	info lora.Info // what it was trained for
}

// noAdapter is what the flag says where none is to be used.
const noAdapter = "none"

// add gives the command the flag; chat says whether it answers questions.
func (f *adapterFlag) add(cmd *cobra.Command, chat bool) {
	usage := "the `DIR` of an adapter that train, PEFT or mlx-lm wrote, or a .gguf file with one; gives the defaults of --placement, --echo and --k"
	if chat {
		usage += "; none: the model alone (default: for " + flashback.DefaultModel + " the one for answers that comes with the program)"
	}
	cmd.Flags().StringVar(&f.dir, "adapter", "", usage)
}

// choose takes the adapter for answers that comes with the program, unless the command
// line names another adapter, model or placement.
func (f *adapterFlag) choose(cmd *cobra.Command, model, placement string) (err error) {
	if cmd.Flags().Changed("adapter") || model != flashback.DefaultModel {
		return nil
	}
	f.info, err = lora.ReadInfoFS(adapters.Answers())
	if f.own = err == nil && f.info.Suits(placement); !f.own {
		f.info = lora.Info{}
	}
	return err
}

// read reads what the adapter was trained for, before any model is opened.
func (f *adapterFlag) read() (err error) {
	if f.dir == noAdapter {
		f.dir = ""
	}
	if f.dir != "" {
		f.info, err = lora.ReadInfo(f.dir)
	}
	return err
}

// load gives the request the adapter, if there is one.
func (f *adapterFlag) load(e *flashback.Engine, r *flashback.Request) (err error) {
	switch {
	case f.own:
		if r.Adapter, err = e.LoadAdapterFS(adapters.Answers(), adapters.AnswersName); err != nil {
			err = fmt.Errorf("%w; or ask without its adapter by --adapter %s", err, noAdapter)
		}
	case f.dir != "":
		r.Adapter, err = e.LoadAdapter(f.dir)
	}
	return err
}

// openNamed opens the adapters that an evaluation was given, each as NAME=DIR, and
// checks that rows name no others.
func openNamed[A any](named []string, rows []eval.Row, open func(dir string) (A, error)) (map[string]A, error) {
	opened := map[string]A{}
	for _, n := range named {
		name, dir, ok := strings.Cut(n, "=")
		if _, twice := opened[name]; !ok || !eval.AdapterName(name) || twice {
			return nil, usagef("--adapter %q: give NAME=DIR, each name once", n)
		}
		a, err := open(dir)
		if err != nil {
			return nil, err
		}
		opened[name] = a
	}
	for _, r := range rows {
		if _, ok := opened[r.Adapter]; r.Adapter != "" && !ok {
			return nil, usagef("row %s names an adapter: say where it is with --adapter %s=DIR", r, r.Adapter)
		}
	}
	return opened, nil
}
