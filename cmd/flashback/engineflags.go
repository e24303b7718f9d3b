package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/peer"
)

// engineFlags name a server that runs the model in this machine's place.
type engineFlags struct {
	engine  string
	keyFile string
	silence time.Duration

	options flashback.EngineOptions // what check has read
}

// add gives the command the flags.
func (f *engineFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.engine, "engine", "", "a server that runs the model, as `KIND=URL`: "+strings.Join(peer.Kinds(), ", ")+"; --model then names its tokenizer alone, and placements are append, prepend and none")
	fs.StringVar(&f.keyFile, "engine-key", "", "a `FILE` with the key that the server of --engine wants")
	fs.DurationVar(&f.silence, "engine-silence", peer.DefaultSilence, "how long the server of --engine may say nothing, which it does while it reads a long prompt")
}

// maxKey bounds the file of a key.
const maxKey = 1 << 12

// check reads what the flags say.
func (f *engineFlags) check() (err error) {
	if f.engine == "" {
		if f.keyFile != "" {
			return usagef("--engine-key goes with --engine")
		}
		return nil
	}
	if f.options, err = peer.ParseOptions(f.engine); err != nil {
		return usagef("--%v", err)
	}
	if f.silence <= 0 {
		return usagef("--engine-silence: must be more than 0")
	}
	f.options.Silence = f.silence
	if f.keyFile != "" {
		file, err := os.Open(f.keyFile)
		if err != nil {
			return fmt.Errorf("cannot read the key: %w", err)
		}
		defer file.Close()
		key, err := io.ReadAll(io.LimitReader(file, maxKey))
		if err != nil {
			return fmt.Errorf("cannot read the key: %w", err)
		}
		f.options.Key = strings.TrimSpace(string(key))
	}
	return nil
}

// used reports whether a server runs the model.
func (f *engineFlags) used() bool { return f.engine != "" }
