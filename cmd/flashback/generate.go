package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/stream"
)

// maxPrompt bounds a prompt, in bytes: far more than any model's context.
const maxPrompt = 16 << 20

// generateFlags are the flags of generate.
type generateFlags struct {
	model         modelFlags
	request       *requestFlags
	promptFile    string
	trace, verify bool
	json          bool
}

func newGenerateCmd() *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate --prompt TEXT",
		Short: "Continue a text, looking passages up every few tokens",
		Long: `Generate writes on where the prompt ends, without a chat template. With --index it
looks passages up every --stride tokens, shows them to the model for the next
tokens, and forgets them again; --placement says where they stand:

  virtual   in front of the text by their positions, written behind it (default)
  append    behind the text: FlashBack's way, for models with a trained adapter
  prepend   in front of the text, which is computed again at every retrieval
  none      nowhere

Control tokens such as <|im_start|> in a prompt are plain text; with --special they
are what their names say. A model that wants its BOS first gets it once, and takes no
--sink.

The text goes to standard output while it is written, a line with what was
computed to standard error. Ctrl-C ends the text there: the line is still printed,
and the exit code is 130.

With --engine another server has the weights: llama.cpp's, vLLM or SGLang. It is sent
token ids of text and passages and keeps what it has read of them; see docs/engines.md.

--verify computes every stride twice more: by the same kernels from empty caches,
which must give equal bits, and by an oracle in plain Go that knows no cache. It is
slow, and computes in f32 as the oracle does unless --compute fast is asked for, which
leaves the oracle out. The exit code is 1 where they differ.`,
		Example: `  flashback generate --prompt "The Go programming language is" --tokens 64
  flashback generate --index notes.index --prompt-file draft.txt --trace
  echo "A mutex is" | flashback generate --index notes.index --prompt-file - -k 3 --json
  flashback generate --index notes.index --prompt "A mutex is" --placement append --echo 16 --verify
  flashback generate --index notes.index --prompt "A mutex is" --engine vllm=http://gpu:8000 --model hf:meta-llama/Llama-3.1-70B`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.model.add(cmd)
	f.model.remote.add(cmd)
	f.request = newRequestFlags(cmd, flashback.Defaults(), false)
	fs := cmd.Flags()
	fs.StringVar(&f.request.Prompt, "prompt", "", "the `TEXT` to continue")
	fs.BoolVar(&f.request.Special, "special", false, "read the control tokens that the prompt names, such as <|im_start|>; otherwise they are plain text")
	fs.StringVar(&f.promptFile, "prompt-file", "", "a `FILE` with the text to continue, - for standard input; a line break at its end is left out")
	fs.BoolVar(&f.trace, "trace", false, "show each stride's passages on standard error")
	fs.BoolVar(&f.json, "json", false, "print the whole trace as one JSON object instead of the text")
	fs.BoolVar(&f.verify, "verify", false, "compute every stride again in two ways and compare")
	return cmd
}

func (f *generateFlags) run(cmd *cobra.Command) error {
	if err := f.model.check(); err != nil {
		return err
	}
	r, err := f.request.request(cmd, f.model.remote.used())
	if err != nil {
		return err
	}
	if r.Prompt, err = f.prompt(cmd); err != nil {
		return err
	}
	if f.verify && !cmd.Flags().Changed("compute") {
		f.model.compute = string(engine.Exact) // the oracle rounds in no other way
	}
	e, err := f.request.open(&f.model, &r)
	if err != nil {
		return err
	}
	defer e.Close()
	if f.verify {
		r.Verify = &flashback.Verify{}
	}
	out, log := cmd.OutOrStdout(), cmd.ErrOrStderr()
	shown := follower{out: out}
	if f.json {
		shown.out = io.Discard
	}
	if f.trace {
		shown.strides = log
	}
	stopped := shown.follow(e.Stream(cmd.Context(), r))
	if shown.Finish == nil {
		return stopped
	}
	if f.json {
		t := traced(r, e, &shown.Trace)
		t.Prompt = r.Prompt
		if err := writeJSON(out, t); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(out)
	}
	printSummary(log, *shown.Finish)
	if r.Verify != nil {
		if err := printVerified(log, r.Verify.Report()); err != nil {
			return err
		}
	}
	return stopped
}

// prompt returns the text to continue.
func (f *generateFlags) prompt(cmd *cobra.Command) (string, error) {
	given, file := cmd.Flags().Changed("prompt"), f.promptFile
	switch {
	case given == (file != ""):
		return "", usagef("give the text to continue with --prompt, or its file with --prompt-file")
	case given && f.request.Prompt == "":
		return "", usagef("--prompt is empty: give at least a word")
	case given:
		return f.request.Prompt, nil
	}
	in := stream.Reader(cmd.Context(), cmd.InOrStdin())
	if file != "-" {
		opened, err := stream.Open(cmd.Context(), file)
		if err != nil {
			return "", fmt.Errorf("cannot read the prompt: %w", err)
		}
		in = opened
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxPrompt+1))
	switch {
	case cmd.Context().Err() != nil:
		return "", errInterrupted
	case err != nil:
		return "", fmt.Errorf("cannot read the prompt: %w", err)
	case len(text) > maxPrompt:
		return "", fmt.Errorf("the prompt %s is larger than %d MiB: shorten it", file, maxPrompt>>20)
	}
	prompt := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if prompt == "" {
		return "", fmt.Errorf("the prompt %s is empty: give at least a word", file)
	}
	return prompt, nil
}

// printVerified says what was compared. The error holds the first difference.
func printVerified(w io.Writer, r flashback.VerifyReport) error {
	fmt.Fprintf(w, "verified %d strides, %d tokens: recomputed logits differ by %g at most", r.Strides, r.Tokens, r.Recomputed)
	equal := "equal: bit for bit to the recomputed"
	if r.OracleStrides > 0 {
		fmt.Fprintf(w, ", the oracle's by %.2g (%.2g allowed)", r.Oracle, r.Tolerance)
		equal += ", token for token to the oracle"
	}
	if r.Close > 0 {
		fmt.Fprintf(w, "; at %d tokens the oracle prefers another one by less than that", r.Close)
	}
	fmt.Fprintln(w)
	if r.First != nil {
		return fmt.Errorf("not equal: %v", r.First)
	}
	fmt.Fprintln(w, equal)
	return nil
}
