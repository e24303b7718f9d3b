package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/kvcache"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// modelFlags are the flags of every command that runs a model.
type modelFlags struct {
	model    string
	device   string
	threads  int
	kernels  string
	compute  string
	quantize string
	kv       string
	kvBudget byteSize
	reserve  int
	template string       // the file of a chat template, and then its text
	warn     func(string) // prints what of the model's file was left out
	remote   engineFlags  // of commands that have them
}

// add gives the command the flags.
func (f *modelFlags) add(cmd *cobra.Command) {
	f.warn = func(w string) { fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w) }
	fs := cmd.Flags()
	fs.StringVar(&f.model, "model", flashback.DefaultModel, "a `MODEL` that pull brought, hf:owner/name[@rev][:FILE or :Q4_K_M …], a .gguf file, or a Hugging Face directory")
	fs.IntVar(&f.threads, "threads", 0, "threads that compute; 0: one a core")
	f.addMemory(cmd)
	fs.IntVar(&f.reserve, "reserve", placement.DefaultReserve, "positions kept free in front of the text for virtual passages, by models with learned ones (OPT, GPT-2)")
	fs.Var(&f.kvBudget, "kv-budget", "memory for keys and values, such as 512MB or 2GiB; 0: enough for two full contexts")
}

// addMemory gives the command the flags that the size of an open model depends on.
func (f *modelFlags) addMemory(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.device, "device", engine.DefaultDevice, "what computes: cpu, cuda, cuda:N for the card of a number, or auto: a card if one is found that the model fits")
	fs.StringVar(&f.kernels, "kernels", "", "compute path: go; avx2, avx512, avx512vnni or amx; neon or neondot (default: the fastest here)")
	fs.StringVar(&f.compute, "compute", string(engine.DefaultCompute), "exact: f32 throughout; fast: int8 activations, keys and values in 16 bits")
	fs.StringVar(&f.quantize, "quantize", "", "round float weights when the model is opened: q8_0, q4_0 or q4_k; on a card fp8 (e4m3 with a scale a row, but for the head), of any weights")
	fs.StringVar(&f.kv, "kv", "", "store keys and values as f32, f16, i16 (integers, multiplied as such) or q8 (8 bits; half the memory of f16) (default: f32 in exact; i16 or f16 in fast, what the processor multiplies faster)")
}

// addTemplate adds the flag for another chat template, of commands that chat.
func addTemplate(flags *pflag.FlagSet, file *string) {
	flags.StringVar(file, "template", "", "a `FILE` with the chat template, in Jinja, instead of the model's")
}

// maxTemplate bounds the file of a chat template.
const maxTemplate = 1 << 20

// readTemplate returns the text of a file with a chat template; no name gives no text.
func readTemplate(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("cannot read the chat template: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTemplate+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the chat template: %w", err)
	case len(text) > maxTemplate:
		return "", fmt.Errorf("the chat template %s is larger than %d MiB", name, maxTemplate>>20)
	case strings.TrimSpace(string(text)) == "":
		return "", fmt.Errorf("the chat template %s is empty", name)
	}
	return string(text), nil
}

// check returns a usage error for values that no model can take, and reads the chat template.
func (f *modelFlags) check() error {
	if f.threads < 0 {
		return usagef("--threads %d: must not be negative", f.threads)
	}
	if f.reserve < 3 {
		return usagef("--reserve %d: must be at least 3, for a token and its marks", f.reserve)
	}
	if err := engine.ParseDevice(f.device); err != nil {
		return usageError{err}
	}
	if _, err := engine.ParseCompute(f.compute); err != nil {
		return usageError{err}
	}
	if f.kv != "" {
		if _, err := kvcache.ParseFormat(f.kv); err != nil {
			return usageError{err}
		}
	}
	if err := f.remote.check(); err != nil {
		return err
	}
	var err error
	f.template, err = readTemplate(f.template)
	return err
}

// options returns what flashback.Open takes, without an index.
func (f *modelFlags) options() flashback.Options {
	return flashback.Options{Model: f.model, Device: f.device, Threads: f.threads, Kernels: f.kernels, Compute: f.compute, Quantize: f.quantize, KV: f.kv, KVBudget: int64(f.kvBudget), Reserve: f.reserve, Template: f.template, Engine: f.remote.options, Warn: f.warn}
}

// engineOptions returns what engine.New takes.
func (f *modelFlags) engineOptions() engine.Options {
	return engine.Options{Device: f.device, Float8: f.quantize == engine.Float8, Threads: f.threads, Kernels: f.kernels, Compute: engine.Compute(f.compute), KV: f.kv, KVBudget: int64(f.kvBudget), Reserve: f.reserve}
}

// load binds the model alone, for commands that build their own engines.
func (f *modelFlags) load() (*model.Model, error) {
	found, err := hub.Resolve(f.model)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(found.Path)
	if err != nil {
		return nil, err
	}
	if f.quantize != engine.Float8 {
		if err := m.QuantizeTo(f.quantize); err != nil {
			m.Close()
			return nil, err
		}
	}
	for _, w := range m.Warnings {
		f.warn(w)
	}
	return m, nil
}

// byteSize is a flag for a number of bytes: 1048576, 512MB, 2GiB.
type byteSize int64

// String returns the size as it would be typed.
func (b *byteSize) String() string {
	if short := humanize.IBytes(uint64(*b)); *b != 0 {
		if n, err := humanize.ParseBytes(short); err == nil && n == uint64(*b) {
			return short
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set reads a size.
func (b *byteSize) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return errors.New("not a size such as 512MB or 2GiB")
	}
	if n > math.MaxInt64 {
		return fmt.Errorf("larger than %d bytes", int64(math.MaxInt64))
	}
	*b = byteSize(n)
	return nil
}

// Type names the flag's value in help.
func (*byteSize) Type() string { return "size" }
