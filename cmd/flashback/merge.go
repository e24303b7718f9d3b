package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/merge"
)

// mergeFlags are the flags of merge.
type mergeFlags struct {
	modelFlags                   // of these, --model alone
	adapter, output, format, typ string
}

func newMergeCmd() *cobra.Command {
	var f mergeFlags
	cmd := &cobra.Command{
		Use:   "merge --adapter DIR -o OUT",
		Short: "Write a model with an adapter merged into its weights",
		Long: `Merge adds an adapter to the weights of its base model and writes the result for
engines that know no adapters: a GGUF file, which llama.cpp and FlashBack load, or
a directory that Hugging Face's transformers load. Quantised weights are expanded
and stay so; nothing is quantised again. Nothing may stand at OUT, and it is
written whole or not at all.

The adapter's marks become control tokens at the end of the vocabulary. The file
does not say where passages stand, nor put the marks around them: merge prints for
which placement the adapter was trained. An activated adapter cannot be merged.`,
		Example: `  flashback merge --adapter notes.adapter -o notes.gguf
  flashback merge --adapter notes.adapter -o notes.gguf --type f32
  flashback merge --adapter notes.adapter --model ./base.gguf -o notes-hf --format hf`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.OutOrStdout()) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.adapter, "adapter", "", "the `DIR` of an adapter that train or PEFT wrote")
	fs.StringVar(&f.model, "model", flashback.DefaultModel, "the `MODEL` that it was trained on")
	fs.StringVarP(&f.output, "output", "o", "", "the file or directory to write")
	fs.StringVar(&f.format, "format", "gguf", "gguf: one file; hf: a directory for transformers")
	fs.StringVar(&f.typ, "type", "f16", "type of the weights: f16 or f32")
	return cmd
}

func (f *mergeFlags) run(out io.Writer) error {
	typ, err := merge.Type(f.typ)
	switch {
	case err != nil:
		return usagef("--type: %w", err)
	case f.adapter == "":
		return usagef("name an adapter with --adapter")
	case f.output == "":
		return usagef("name what to write with -o")
	case f.format != "gguf" && f.format != "hf":
		return usagef("--format %q: use gguf or hf", f.format)
	}
	m, err := f.load()
	if err != nil {
		return err
	}
	defer m.Close()
	a, err := lora.Read(f.adapter, lora.ShapeOf(&m.Weights))
	if err != nil {
		return err
	}
	merger, err := merge.New(m, a)
	if err != nil {
		return fmt.Errorf("%s: %w", f.adapter, err)
	}
	write := merger.WriteGGUF
	if f.format == "hf" {
		write = merger.WriteHuggingFace
	}
	if err := write(f.output, typ); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", f.output)
	if info := a.Info; info.Placement != "" {
		fmt.Fprintf(out, "trained for --placement %s --echo %s --k %d\n", info.Placement, info.Echo, cmp.Or(info.Passages, 1))
	}
	if marks := a.Info.Marks; marks != nil {
		fmt.Fprintf(out, "with passages between %s (%d) and %s (%d)\n", lora.LeftMark, marks.Left, lora.RightMark, marks.Right)
	}
	return nil
}
