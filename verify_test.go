package flashback_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// TestVerify shows the exactness promise on the real model: what append and virtual
// generate with kept KV is bit for bit what the same kernels compute from empty
// caches, and within VerifyTolerance what the oracle computes. Passages are looked
// up in the documentation of Go's standard library.
//
// FLASHBACK_FULL=50 (with -timeout 0) continues 50 prompts by 128 tokens in each
// layout, with whole passages, which takes hours on two cores: the oracle is plain
// Go. Otherwise each layout continues one of 4 prompts by 48 tokens, with passages
// cut short.
func TestVerify(t *testing.T) {
	if testing.Short() {
		t.Skip("the real model takes too long for -short")
	}
	model := hubtest.Model(t)
	docs := goDocs(t)
	index := filepath.Join(t.TempDir(), "index")
	if _, err := flashback.BuildIndex(t.Context(), index, corpus.GoDoc(docs.root), flashback.IndexOptions{Model: model}); err != nil {
		t.Fatal(err)
	}
	engine, err := flashback.Open(flashback.Options{Model: model, Indexes: []string{index}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })

	full, _ := strconv.Atoi(os.Getenv("FLASHBACK_FULL"))
	base := flashback.Request{MaxTokens: 48, PassageLen: 12, IgnoreEOS: true}
	prompts := docs.prompts(4, 4)
	if full > 0 {
		base.MaxTokens, base.PassageLen = 128, 128
		prompts = docs.prompts(full, 24)
	}
	echo16 := 16
	layouts := []struct {
		name      string
		placement string
		echo      *int
		k         int
	}{
		{"append", "append", nil, 1},
		{"append-echo16", "append", &echo16, 1},
		{"virtual", "virtual", nil, 1},
		{"append-3", "append", nil, 3},
		{"append-echo16-3", "append", &echo16, 3},
		{"virtual-3", "virtual", nil, 3},
		{"virtual-echo16", "virtual", &echo16, 1},
	}
	for i, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			r := base
			r.Placement, r.Echo, r.Passages = l.placement, l.echo, l.k
			mix := 1.0 // so that no branch has nearly all of the weight
			r.MixFactor = &mix
			mine := prompts
			if full == 0 {
				mine = prompts[i%len(prompts):][:1]
			}
			var sum flashback.VerifyReport
			for _, p := range mine {
				r.Prompt = p
				report := verified(t, engine, r)
				sum.Strides += report.Strides
				sum.Tokens += report.Tokens
				sum.Close += report.Close
				sum.Oracle = max(sum.Oracle, report.Oracle)
			}
			t.Logf("%d prompts, %d strides, %d tokens: bit-equal; the oracle's logits differ by %.2g at most, its token at %d",
				len(mine), sum.Strides, sum.Tokens, sum.Oracle, sum.Close)
		})
	}
}

// verified generates with verification and checks that what it verified is what
// was asked for.
func verified(t *testing.T, e *flashback.Engine, r flashback.Request) flashback.VerifyReport {
	t.Helper()
	r.Verify = &flashback.Verify{}
	var trace flashback.Trace
	for event, err := range e.Stream(context.Background(), r) {
		if err != nil {
			t.Fatal(err)
		}
		trace.Add(event)
	}
	placed := 0
	for _, s := range trace.Strides {
		if s.Placement == r.Placement && len(s.Passages) == r.Passages {
			placed++
		}
		for _, p := range s.Passages {
			if len(s.Passages) > 1 && p.Weight > 0.8 {
				t.Errorf("prompt %q: stride %d weighs one of %d passages %.2f: nothing is mixed", r.Prompt, s.Index, len(s.Passages), p.Weight)
			}
		}
	}
	// A text that has run into a loop may find fewer.
	if placed < len(trace.Strides)/2+1 {
		t.Errorf("prompt %q: %d of %d strides had %d passages: too few to say anything of them", r.Prompt, placed, len(trace.Strides), r.Passages)
	}
	report := r.Verify.Report()
	if report.First != nil {
		t.Fatalf("prompt %q: %v", r.Prompt, report.First)
	}
	if report.Tokens != r.MaxTokens || report.Recomputed != 0 || math.IsNaN(report.Oracle) {
		t.Fatalf("prompt %q: report %+v, want %d tokens", r.Prompt, report, r.MaxTokens)
	}
	return report
}

// goTree is the Go tree of this machine.
type goTree struct {
	root     string
	packages []flashback.Document // overviews
}

func goDocs(t *testing.T) goTree {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("the documentation of the standard library: go env GOROOT: %v", err)
	}
	tree := goTree{root: strings.TrimSpace(string(root))}
	for doc, err := range corpus.GoDoc(tree.root) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(doc.Text, "Package ") {
			tree.packages = append(tree.packages, doc)
		}
	}
	return tree
}

// prompts returns the first words of n package overviews, evenly spread.
func (g goTree) prompts(n, words int) []string {
	var all []string
	for i := range n {
		first := strings.Fields(g.packages[i*len(g.packages)/n].Text)
		all = append(all, strings.Join(first[:min(words, len(first))], " "))
	}
	return all
}
