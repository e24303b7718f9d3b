package main

import (
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/lora"
)

// adapterFlag is the flag that names an adapter.
type adapterFlag struct {
	dir  string
	info lora.Info // what it was trained for
}

func (f *adapterFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "adapter", "", "the `DIR` of an adapter that train or PEFT wrote; gives the defaults of --placement, --echo and --k")
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
