package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/lora"
)

// inspectAdapter prints what an adapter's files say.
func inspectAdapter(out io.Writer, dir string, asJSON bool) error {
	s, err := lora.Summarise(dir)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, s)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%s (adapter)\n", s.Dir)
	row("base model", "%s", orUnknown(s.Base))
	row("base digest", "%s", orUnknown(s.Info.Base))
	row("rank, alpha", "%d, %g%s", s.Rank, s.Alpha, map[bool]string{true: " (rank-stabilised)"}[s.RSLoRA])
	row("targets", "%s", strings.Join(s.Targets, ", "))
	row("trained", "%d numbers in %d tensors (%s)", s.Numbers, s.Tensors, hub.FormatSize(s.Bytes))
	row("embeddings", "%d", s.Rows)
	if len(s.Saved) > 0 {
		row("whole", "%s: in the place of the base's", strings.Join(s.Saved, ", "))
	}
	if m := s.Info.Marks; m != nil {
		row("marks", "%d %s, %d %s", m.Left, lora.LeftMark, m.Right, lora.RightMark)
	}
	row("placement", "%s, echo %s, %d passages, %d positions apart", orUnknown(s.Info.Placement), s.Info.Echo, s.Info.Passages, s.Info.Apart)
	if n := s.Info.PassageLen; n > 0 {
		row("passages cut at", "%d tokens", n)
	}
	row("activated", "%s", map[bool]string{true: "yes: from the evidence on", false: "no: applies to all tokens"}[s.Info.Activated])
	for _, key := range slices.Sorted(maps.Keys(s.Info.Recipe)) {
		row("recipe "+key, "%v", s.Info.Recipe[key])
	}
	return w.Flush()
}

func orUnknown(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}
