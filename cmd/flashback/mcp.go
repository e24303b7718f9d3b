package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/server"
)

func newMCPCmd() *cobra.Command {
	f := serveFlags{options: server.Defaults()}
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Let agents search and ask your documents, over the Model Context Protocol",
		Long: `Mcp speaks the Model Context Protocol on its standard input and output, as programs with
agents start it: they then have the tools search, which finds passages, and ask, which
answers a question and tells its sources. What goes on is written to standard error.

A server that runs anyway, 'flashback serve', speaks the protocol at /mcp.`,
		Example: `  flashback mcp --index notes=notes.index
  flashback mcp --index notes=notes.index --index mail=mail.index

  In a program's settings:
  {"mcpServers": {"notes": {"command": "flashback", "args": ["mcp", "--index", "notes=/home/me/notes.index"]}}}`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.runMCP(cmd) },
	}
	f.model.add(cmd)
	addTemplate(cmd.Flags(), &f.model.template)
	fs, o := cmd.Flags(), &f.options
	fs.StringArrayVar(&f.indexes, "index", nil, "an index to look in, as `NAME=DIR` (repeatable); what 'flashback sync' changes of it is seen at once")
	fs.StringVar(&o.System, "system", askSystem, "the system `MESSAGE` that questions are answered with; empty: the model's own")
	fs.IntVar(&o.MaxTokens, "tokens", o.MaxTokens, "tokens of an answer at most, where a call does not say")
	f.log.add(cmd)
	return cmd
}

func (f *serveFlags) runMCP(cmd *cobra.Command) (err error) {
	if err := f.model.check(); err != nil {
		return err
	}
	o := &f.options
	switch {
	case len(f.indexes) == 0:
		return usagef("give --index NAME=DIR: what is to be searched; 'flashback index' makes one")
	case o.MaxTokens <= 0:
		return usagef("--tokens: must be more than 0")
	}
	if o.Log, err = f.log.open(cmd.ErrOrStderr()); err != nil {
		return err
	}
	f.model.warn = func(w string) { o.Log.Warn(w) }
	if o.Stores, err = f.openLibrary(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Stores.Close()) }()
	engine, err := flashback.Open(f.model.options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	o.Model, o.Name, o.Version = server.Serve(engine), baseName(f.model.model), version()
	if err := f.loadAdapters(engine); err != nil {
		return err
	}
	s, err := server.New(*o)
	if err != nil {
		return err
	}
	o.Log.Info("Serving " + o.Name + " on standard input and output")
	if err := s.ServeStdio(cmd.Context()); cmd.Context().Err() == nil {
		return err
	}
	return nil
}
