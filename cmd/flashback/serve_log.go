package main

import (
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/terminal"
)

// logFlags are the flags of the log that serve writes.
type logFlags struct{ format, level string }

// add gives the command the flags.
func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.format, "log-format", "auto", "how requests are logged: json, text, or auto, which is text on a terminal")
	cmd.Flags().StringVar(&f.level, "log-level", "info", "the least that is logged: debug (probes too), info, warn or error")
}

// open returns the log, written to w.
func (f *logFlags) open(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil || !slices.Contains([]string{"debug", "info", "warn", "error"}, f.level) {
		return nil, usagef("--log-level %q: say debug, info, warn or error", f.level)
	}
	o := &slog.HandlerOptions{Level: level}
	text := f.format == "text"
	switch f.format {
	case "auto":
		text = terminal.Is(w)
	case "json", "text":
	default:
		return nil, usagef("--log-format %q: say json, text or auto", f.format)
	}
	if text {
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return slog.New(slog.NewJSONHandler(w, o)), nil
}
