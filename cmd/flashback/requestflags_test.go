package main

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
)

// TestTopPOfNothing: no share leaves the likeliest token; a flag that is not given keeps
// all.
func TestTopPOfNothing(t *testing.T) {
	for _, c := range []struct {
		args []string
		topK int
	}{{[]string{"--top-p", "0"}, 1}, {[]string{"--top-p", "1"}, 0}, {nil, 0}, {[]string{"--top-p", "0", "--top-k", "9"}, 1}} {
		cmd := &cobra.Command{}
		f := newRequestFlags(cmd, flashback.Defaults(), false)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		r, err := f.request(cmd, false)
		if err != nil || r.Sampling.TopK != c.topK {
			t.Errorf("%q: top-k %d, %v; want %d", c.args, r.Sampling.TopK, err, c.topK)
		}
	}
}
