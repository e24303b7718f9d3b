package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/lora"
)

// adapterFlag is the flag that names an adapter.
type adapterFlag struct {
	dir  string
	info lora.Info // what it was trained for
}

func (f *adapterFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "adapter", "", "the `DIR` of an adapter that train, PEFT or mlx-lm wrote, or a .gguf file with one; gives the defaults of --placement, --echo and --k")
}

// read reads what the adapter was trained for, before any model is opened.
func (f *adapterFlag) read() (err error) {
	if f.dir != "" {
		f.info, err = lora.ReadInfo(f.dir)
	}
	return err
}

// load gives the request the adapter, if one is named.
func (f *adapterFlag) load(e *flashback.Engine, r *flashback.Request) (err error) {
	if f.dir != "" {
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
