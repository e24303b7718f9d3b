package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/terminal"
)

func newModelsCmd() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the models on this machine",
		Long: `Models lists the models on this machine: those that pull brought, and the .gguf
files in the cache of the Hugging Face tools. Any command takes their names.`,
		Example: `  flashback models
  flashback models --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			models, err := hub.Models()
			if err != nil {
				return err
			}
			if asJSON {
				if models == nil {
					models = []hub.Model{} // [], not null
				}
				return writeJSON(cmd.OutOrStdout(), models)
			}
			if len(models) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no models yet; run: flashback pull smollm2-135m")
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSIZE\tSOURCE\tPATH")
			for _, m := range models {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", terminal.Line(m.Name), hub.FormatSize(m.Size), m.Source, terminal.Line(m.Path))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of objects with name, size (bytes), path, source")
	return cmd
}

// writeJSON writes v indented.
func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := terminal.Raw(w).Write(terminal.JSON(b.Bytes()))
	return err
}
