package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/tokenizer"
)

// inspection is what inspect prints; its JSON form is an interface.
type inspection struct {
	Name      string         `json:"name"`
	Path      string         `json:"path"`
	Size      int64          `json:"size"`               // bytes
	Digest    string         `json:"digest"`             // of the weights: what adapters call their base
	Warnings  []string       `json:"warnings,omitempty"` // what of the file is wrong and was left out
	Config    configFacts    `json:"config"`
	Types     []typeFacts    `json:"types"` // most bytes first
	Tensors   []tensorFacts  `json:"tensors"`
	Tokenizer tokenizerFacts `json:"tokenizer"`
	Memory    memoryFacts    `json:"memory"`
	Card      string         `json:"card"` // that --device could use, or why there is none
}

type configFacts struct {
	Family     string  `json:"family"`
	Name       string  `json:"name,omitempty"`
	Parameters int64   `json:"parameters"`
	Layers     int     `json:"layers"`
	Hidden     int     `json:"hidden"`
	Heads      int     `json:"heads"`
	KVHeads    int     `json:"kv_heads"`
	HeadDim    int     `json:"head_dim"`
	FF         int     `json:"ff"`
	Context    int     `json:"context"`
	Vocab      int     `json:"vocab"`
	RopeBase   float64 `json:"rope_base"`
	Positions  string  `json:"positions"` // in words
	NormEps    float32 `json:"norm_eps"`
	TiedHead   bool    `json:"tied_head"`
}

type typeFacts struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Weights int64  `json:"weights"`
	Bytes   int64  `json:"bytes"`
}

type tensorFacts struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Rows  int    `json:"rows"`
	Cols  int    `json:"cols"`
	Bytes int64  `json:"bytes"`
}

type tokenizerFacts struct {
	Model        string   `json:"model"`
	Pre          string   `json:"pre"`
	Tokens       int      `json:"tokens"`
	Merges       int      `json:"merges"`
	Special      int      `json:"special"`
	BOS          string   `json:"bos"` // as text; empty: none
	EOS          string   `json:"eos"`
	AddsBOS      bool     `json:"adds_bos"` // in front of every text
	Ends         []string `json:"ends"`     // tokens that end a turn or a text
	ChatTemplate bool     `json:"chat_template"`
}

// memoryFacts are in bytes.
type memoryFacts struct {
	Context  int    `json:"context"`
	Compute  string `json:"compute"`
	KVFormat string `json:"kv"`
	Mapped   int64  `json:"mapped_bytes"`  // the files: read-only, shared between processes
	Weights  int64  `json:"weights_bytes"` // laid out for the compute, or rounded
	Copied   int64  `json:"copied_bytes"`  // of a directory, in another form than its files
	KV       int64  `json:"kv_bytes"`      // keys and values of Context positions
	KVPerPos int64  `json:"kv_bytes_per_token"`
	Work     int64  `json:"work_bytes"`    // buffers of forwards
	Program  int64  `json:"program_bytes"` // the tokenizer and all else, at most
	Total    int64  `json:"total_bytes"`   // all but the mapped files
}

// memoryOf says what opening the model takes for a text of so many tokens, before it is
// opened.
func memoryOf(m *model.Model, size int64, context int, o engine.Options) (memoryFacts, error) {
	foretold, err := o.Memory(&m.Weights, context)
	if err != nil {
		return memoryFacts{}, err
	}
	kv, err := o.KVFormat(m.Config)
	if err != nil {
		return memoryFacts{}, err
	}
	compute, err := engine.ParseCompute(string(o.Compute))
	if err != nil {
		return memoryFacts{}, err
	}
	info := m.Tokenizer.Info()
	f := memoryFacts{
		Context: context, Compute: string(compute), KVFormat: kv.String(), Mapped: size, Weights: foretold.Weights, Copied: m.Copied,
		KV: foretold.KV, KVPerPos: foretold.KV / int64(context), Work: foretold.Work,
		Program: programBytes + tokenBytes*int64(m.Tokenizer.Size()+info.Merges),
	}
	f.Total = f.Weights + f.Copied + f.KV + f.Work + f.Program
	return f, nil
}

// What the program takes besides, as measured and rounded up (docs/models.md).
const (
	programBytes = 32 << 20
	tokenBytes   = 256 // of a token or a merge
)

func newInspectCmd() *cobra.Command {
	asJSON, tensors, context := false, false, 0
	f := modelFlags{reserve: placement.DefaultReserve} // of which memory depends on some
	cmd := &cobra.Command{
		Use:   "inspect MODEL|INDEX|ADAPTER",
		Short: "Show what a model, an index or an adapter is",
		Long: `Inspect opens a model as the other commands do, and shows its config, its tensors
by storage type, its tokenizer, and the memory that opening it will take for a
context of so many tokens: the mapped file, which the system shares between
processes and may drop, and besides it the weights as fast compute lays them out (or
--quantize rounds them), keys and values of every token, buffers, and the rest of
the program. Nothing of that is loaded for it.

MODEL is a known name, hf:owner/name[@rev][:FILE or :Q4_K_M …], a .gguf file, or a
directory with one or with a model as Hugging Face's libraries save it. Nothing is
downloaded. Of a .gguf file that cannot run it shows what the file says of itself, and
why it cannot; the exit code is then 1. Of a directory with an adapter it shows what
the adapter changes and what it was trained for; of one with an index how much it
holds, how it was made, and whether all of its checksums are right.`,
		Example: `  flashback inspect smollm2-135m
  flashback inspect smollm2-135m --context 2048 --json
  flashback inspect ./llama --context 8192 --quantize q4_0
  flashback inspect ./model.gguf --tensors
  flashback inspect runs/mine/adapter
  flashback inspect notes.index`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("context") && context < 1 {
				return usagef("--context %d: it must be at least 1", context)
			}
			if bm25.IsIndex(args[0]) {
				return inspectIndex(cmd.Context(), cmd.OutOrStdout(), args[0], asJSON)
			}
			if lora.IsAdapter(args[0]) {
				return inspectAdapter(cmd.OutOrStdout(), args[0], asJSON)
			}
			found, err := hub.Resolve(args[0])
			if err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			in, err := inspect(found, context, &f)
			if err != nil {
				return errors.Join(refuse(cmd.OutOrStdout(), found, err, tensors, asJSON), err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), in)
			}
			return in.print(cmd.OutOrStdout(), tensors)
		},
	}
	f.addMemory(cmd)
	cmd.Flags().IntVar(&context, "context", 0, "tokens that the memory is given for (default: the model's longest context)")
	cmd.Flags().BoolVar(&tensors, "tensors", false, "list every tensor")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object; it always lists every tensor")
	return cmd
}

// refuse shows what a file says of itself that cannot run.
func refuse(out io.Writer, found hub.Model, why error, tensors, asJSON bool) error {
	_, usage := errors.AsType[usageError](why)
	s, ok := survey(found, why)
	switch {
	case usage || !ok:
		return nil
	case asJSON:
		return writeJSON(out, s)
	}
	return s.print(out, tensors)
}

// inspect reads the facts; context 0 stands for the model's own.
func inspect(found hub.Model, context int, f *modelFlags) (inspection, error) {
	m, err := model.Load(found.Path) // it must be a model that the other commands take
	if err != nil {
		return inspection{}, err
	}
	defer m.Close()
	c := m.Config
	if context == 0 {
		context = c.Context
	}
	if context > c.Context {
		return inspection{}, usagef("--context %d: %s takes %d tokens at most", context, found.Name, c.Context)
	}
	if f.quantize != engine.Float8 {
		if err := m.QuantizeTo(f.quantize); err != nil {
			return inspection{}, err
		}
	}
	memory, err := memoryOf(m, found.Size, context, f.engineOptions())
	if err != nil {
		return inspection{}, err
	}
	in := inspection{
		Name: found.Name, Path: found.Path, Size: found.Size, Digest: m.Digest(), Warnings: m.Warnings,
		Config: configFacts{
			Family: c.Family, Name: c.Name, Layers: c.Layers, Hidden: c.Hidden, Heads: c.Heads, KVHeads: c.KVHeads,
			HeadDim: c.HeadDim, FF: c.FF, Context: c.Context, Vocab: c.Vocab, RopeBase: c.RopeBase, Positions: positions(c), NormEps: c.NormEps, TiedHead: m.Tied(),
		},
		Memory: memory,
		Card:   foundCard(f.engineOptions()),
	}
	types := map[string]*typeFacts{}
	for s, t := range m.All() {
		if t.Rows == 0 || s.Role == model.Head && m.Tied() {
			continue
		}
		name := t.Type.String()
		if types[name] == nil {
			types[name] = &typeFacts{Type: name}
		}
		types[name].Tensors++
		types[name].Weights += int64(t.Rows) * int64(t.Cols)
		types[name].Bytes += int64(len(t.Data))
		in.Config.Parameters += int64(t.Rows) * int64(t.Cols)
		in.Tensors = append(in.Tensors, tensorFacts{t.Name, name, t.Rows, t.Cols, int64(len(t.Data))})
	}
	for _, t := range types {
		in.Types = append(in.Types, *t)
	}
	slices.SortFunc(in.Types, func(a, b typeFacts) int { return cmp.Compare(b.Bytes, a.Bytes) })
	in.Tokenizer = tokenizerOf(m.Tokenizer)
	return in, nil
}

func tokenizerOf(t *tokenizer.Tokenizer) tokenizerFacts {
	text := func(id int32) string {
		if id < 0 {
			return ""
		}
		return string(t.Bytes(id))
	}
	info := t.Info()
	facts := tokenizerFacts{
		Model: info.Model, Pre: info.Pre, Merges: info.Merges, ChatTemplate: info.ChatTemplate,
		Tokens: t.Size(), BOS: text(t.BOS()), EOS: text(t.EOS()),
	}
	facts.AddsBOS = len(t.Lead()) > 0
	for _, id := range t.Ends() {
		facts.Ends = append(facts.Ends, text(id))
	}
	for id := range t.Size() {
		if t.IsControl(int32(id)) {
			facts.Special++
		}
	}
	return facts
}

func (in inspection) print(out io.Writer, tensors bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	c, t, m := in.Config, in.Tokenizer, in.Memory
	fmt.Fprintf(w, "%s\n", in.Name)
	row("file", "%s (%s)", in.Path, hub.FormatSize(in.Size))
	row("model", "%s", c.Name)
	row("digest", "%s", in.Digest)
	for _, warning := range in.Warnings {
		row("warning", "%s", strings.TrimPrefix(warning, in.Path+": "))
	}
	fmt.Fprintln(w, "\nconfig")
	row("family", "%s", c.Family)
	row("parameters", "%.1f M", float64(c.Parameters)/1e6)
	row("layers", "%d", c.Layers)
	row("hidden", "%d", c.Hidden)
	row("heads", "%d, with %d for keys and values, of width %d", c.Heads, c.KVHeads, c.HeadDim)
	row("feed-forward", "%d", c.FF)
	row("context", "%d tokens", c.Context)
	row("vocabulary", "%d", c.Vocab)
	row("positions", "%s", c.Positions)
	row("norm epsilon", "%g", c.NormEps)
	row("head", "%s", map[bool]string{true: "tied to the embedding", false: "its own"}[c.TiedHead])
	fmt.Fprintln(w, "\ntokenizer")
	row("model", "%s, pre-tokenizer %s", t.Model, t.Pre)
	row("tokens", "%d, %d of them control tokens", t.Tokens, t.Special)
	row("merges", "%d", t.Merges)
	row("BOS", "%q%s", t.BOS, map[bool]string{true: ", in front of every text"}[t.AddsBOS])
	row("ends of a turn", "%s", strings.Join(t.Ends, " "))
	row("chat template", "%s", map[bool]string{true: "yes", false: "no"}[t.ChatTemplate])
	fmt.Fprintf(w, "\nmemory at %d tokens, %s compute\n", m.Context, m.Compute)
	row("file", "%s, mapped: the system may drop it", hub.FormatSize(m.Mapped))
	row("weights", "%s, laid out or rounded", hub.FormatSize(m.Weights))
	if m.Copied > 0 {
		row("copies", "%s, of tensors in another form", hub.FormatSize(m.Copied))
	}
	row("KV cache", "%s in %s (%s a token)", hub.FormatSize(m.KV), m.KVFormat, hub.FormatSize(m.KVPerPos))
	row("buffers", "%s", hub.FormatSize(m.Work))
	row("program", "%s at most, the tokenizer among it", hub.FormatSize(m.Program))
	row("in all", "%s besides the mapped file", hub.FormatSize(m.Total))
	row("card", "%s", in.Card)
	if err := w.Flush(); err != nil {
		return err
	}

	fmt.Fprintln(out, "\ntensors")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "  type\tcount\tweights\tbytes\t")
	for _, t := range in.Types {
		fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t\n", t.Type, t.Tensors, t.Weights, t.Bytes)
	}
	if err := w.Flush(); err != nil || !tensors {
		return err
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range in.Tensors {
		fmt.Fprintf(w, "  %s\t%s\t[%d, %d]\t%d\n", t.Name, t.Type, t.Rows, t.Cols, t.Bytes)
	}
	return w.Flush()
}
