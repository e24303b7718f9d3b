package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/eval"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/model/modeltest"
	"github.com/flashback-lm/flashback/internal/train"
)

// tinyOPT writes a directory as OPT's are published: weights whose embedding is longer than
// the vocabulary, which is vocab.json with merges.txt, and a BOS in front of each text.
// Tokens are bytes.
func tinyOPT(t *testing.T, dir string) {
	t.Helper()
	const from = "../../internal/model/testdata/families/opt"
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	vocabulary := map[string]int{"</s>": 256}
	next := rune(0x100)
	for b := range rune(256) {
		if strings.ContainsRune(" \u007f\u00a0\u00ad", b) || b < ' ' || b > '~' && b < '¡' {
			vocabulary[string(next)] = int(b)
			next++
		} else {
			vocabulary[string(b)] = int(b)
		}
	}
	tokens, err := json.Marshal(vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"vocab.json": string(tokens), "merges.txt": "#version: 0.2\n",
		"tokenizer_config.json": `{"add_bos_token": true, "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "tokenizer_class": "GPT2Tokenizer"}`,
	})
}

// paperTexts writes a domain's texts to train on and to score, and indexes others.
func paperTexts(t *testing.T, dir string) {
	t.Helper()
	texts := func(first, n int, of string) string {
		var b strings.Builder
		for i := range n {
			line := fmt.Sprintf("%s %d shows that lemma %d holds for every group of order %d, by theorem %d of part %d. ", of, first+i, (first+i)%5, (first+i)%7, (first+i)%3, (first+i)%4)
			fmt.Fprintf(&b, "{\"id\":\"%s%d\",\"title\":\"%s %d\",\"text\":%q}\n", of, first+i, of, first+i, strings.Repeat(line, 2))
		}
		return b.String()
	}
	writeFiles(t, dir, map[string]string{"arxiv.train.jsonl": texts(0, 6, "paper"), "arxiv.eval.jsonl": texts(6, 2, "note"), "papers.jsonl": texts(10, 14, "book")})
	if _, errs, err := runCommand("index", "papers.jsonl", "-o", "arxiv.index", "--model", "opt"); err != nil {
		t.Fatal(err, errs)
	}
}

// TestEvalPaper goes the way of a reader with OPT's weights: first the rows without
// adapters and the commands that make the others, then those very commands, then the whole
// table. Its rows have the scores that `eval perplexity` gives the layouts of the paper.
func TestEvalPaper(t *testing.T) {
	dir := t.TempDir()
	tinyOPT(t, filepath.Join(dir, "opt"))
	t.Chdir(dir)
	paperTexts(t, dir)
	short := []string{"--context", "48", "--every", "2"}
	paper := append([]string{"eval", "paper", "--model", "opt", "--domain", "arxiv", "--data", "arxiv.eval.jsonl", "--index", "arxiv.index"}, short...)

	out, errs, err := runCommand(paper...)
	if err != nil {
		t.Fatal(err, errs)
	}
	for _, part := range []string{"opt on arxiv: 2 windows, 32 tokens", "| append, no tuning | append |", "| *ours:* prepend, the best of ten passages | prepend:best=10 |",
		"| none:reserve=130 |", "adapters: prepend-lora, append-lora, flashback, none-lora, flashback-random, flashback-best, virtual-lora."} {
		if !strings.Contains(out, part) {
			t.Errorf("the table lacks %q:\n%s", part, out)
		}
	}

	made := 0
	for line := range strings.Lines(out) {
		command, ok := strings.CutPrefix(line, "    flashback ")
		if !ok {
			continue
		}
		made++
		args := strings.Fields(command)
		switch args[0] {
		case "prepare":
			args = append(args, "--windows", "6", "--context", "48")
		case "train":
			args = append(args, "--rank", "2", "--batch", "2", "--steps", "2", "--warmup", "0", "--lr", "0.05", "--compute", "exact")
		}
		if _, errs, err := runCommand(args...); err != nil {
			t.Fatal(command, err, errs)
		}
	}
	adapters := []string{"none-lora", "prepend-lora", "append-lora", "flashback", "virtual-lora"}
	if made != 1+len(adapters) {
		t.Fatalf("%d commands:\n%s", made, out)
	}
	for _, name := range adapters {
		var info struct {
			Placement string                     `json:"placement"`
			Echo      any                        `json:"echo"`
			Passages  int                        `json:"passages"`
			Marks     *struct{ Left, Right int } `json:"marks"`
		}
		text, err := os.ReadFile("arxiv." + name + "/flashback.json")
		if err != nil || json.Unmarshal(text, &info) != nil {
			t.Fatal(err, string(text))
		}
		placement, _, _ := strings.Cut(strings.Replace(name, "flashback", "append", 1), "-")
		if info.Placement != placement || info.Passages != 1 || (info.Marks != nil) != (name == "flashback") {
			t.Errorf("%s: %s", name, text)
		}
		if info.Marks != nil && (info.Marks.Left != 300 || info.Marks.Right != 301) {
			t.Errorf("marks %v, want those behind the 300 rows of the embedding, of which 43 are padding", *info.Marks)
		}
		if text, err := os.ReadFile("arxiv." + name + "/adapter_config.json"); err != nil || !strings.Contains(string(text), `"q_proj"`) || strings.Contains(string(text), `"k_proj"`) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		paper = append(paper, "--adapter", name+"=arxiv."+name)
	}

	out, errs, err = runCommand(append(paper, "-o", "paper.jsonl", "--json")...)
	if err != nil {
		t.Fatal(err, errs)
	}
	var table struct {
		Rows []struct {
			Name, Row string
			Ours      bool
			Token     struct{ Value float64 } `json:"perplexity_by_token"`
		}
		Left []string `json:"left_out"`
	}
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		t.Fatal(err, out)
	}
	rows := map[string]string{ // as the paper and docs/reproduce.md describe them
		"none": "none", "prepend": "prepend", "append": "append", "virtual": "virtual", "none-reserve": "none:reserve=130",
		"none-lora": "none:adapter=none-lora", "prepend-lora": "prepend:adapter=prepend-lora", "append-lora": "append:adapter=append-lora",
		"flashback": "append:adapter=flashback", "virtual-lora": "virtual:adapter=virtual-lora",
		"prepend-random": "prepend:random", "flashback-random": "append:random:adapter=flashback",
		"prepend-best": "prepend:best=10", "flashback-best": "append:best=10:adapter=flashback",
	}
	if len(table.Rows) != len(rows) || len(table.Left) > 0 {
		t.Fatalf("%d rows, %d left out, want %d:\n%s", len(table.Rows), len(table.Left), len(rows), out)
	}
	seen, perplexity := map[float64]string{}, map[string]float64{}
	for _, r := range table.Rows {
		if rows[r.Name] != r.Row {
			t.Errorf("row %s is %s, want %s", r.Name, r.Row, rows[r.Name])
		}
		if other, ok := seen[r.Token.Value]; ok {
			t.Errorf("rows %s and %s are one and the same", r.Name, other)
		}
		seen[r.Token.Value], perplexity[r.Name] = r.Name, r.Token.Value
	}
	for _, name := range []string{"prepend", "flashback"} {
		if !(perplexity[name+"-best"] < perplexity[name]) {
			t.Errorf("%s: the best of ten gives %v, the first %v", name, perplexity[name+"-best"], perplexity[name])
		}
	}
	perplexityArgs := append([]string{"eval", "perplexity", "--model", "opt", "--data", "arxiv.eval.jsonl", "--index", "arxiv.index", "-o", "rows.jsonl"}, short...)
	for _, name := range adapters {
		perplexityArgs = append(perplexityArgs, "--adapter", name+"=arxiv."+name)
	}
	for _, row := range rows {
		perplexityArgs = append(perplexityArgs, "--rows", row)
	}
	if _, errs, err := runCommand(perplexityArgs...); err != nil {
		t.Fatal(err, errs)
	}
	if a, b := sortedLines(t, "paper.jsonl"), sortedLines(t, "rows.jsonl"); !slices.Equal(a, b) {
		t.Errorf("the rows have other scores than eval perplexity gives them:\n%s\n%s", a, b)
	}

	if _, errs, err := runCommand("index", "papers.jsonl", "-o", "other.index", "--model", modeltest.WriteGGUF(t, modeltest.Tiny(1))); err != nil {
		t.Fatal(err, errs)
	}
	for want, args := range map[string][]string{
		"was cut with the tokens of another model than opt":                   {"--index", "other.index", "--rows", "none"},
		"is to be trained for placement append, and this one was for prepend": {"--adapter", "append-lora=arxiv.prepend-lora"},
		"is to have two Marking Tokens, and this one has no":                  {"--adapter", "flashback=arxiv.append-lora"},
		"is to have no Marking Tokens, and this one has two":                  {"--adapter", "append-lora=arxiv.flashback"},
	} {
		if args[0] == "--adapter" {
			args = append(args, "--rows", strings.Split(args[1], "=")[0])
		}
		args = slices.Concat(paper[:10], short, args)
		if _, _, err := runCommand(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", args, err, want)
		}
	}
}

// sortedLines returns the lines of a file, sorted.
func sortedLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	slices.Sort(lines)
	return lines
}

func TestEvalPaperUsage(t *testing.T) {
	const good = "--domain arxiv --data d.jsonl --index i "
	for name, args := range map[string]string{
		"no domain":      "--data d.jsonl --index i",
		"another domain": "--domain news --data d.jsonl --index i",
		"no data":        "--domain arxiv --index i",
		"no index":       "--domain arxiv --data d.jsonl",
		"short context":  good + "--context 16",
		"an argument":    good + "more",
	} {
		_, err := output(t, append([]string{"eval", "paper"}, strings.Fields(args)...)...)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
	tiny := modeltest.WriteGGUF(t, modeltest.Tiny(1))
	for name, args := range map[string]string{
		"unknown row":     good + "--rows none,sideways",
		"unknown adapter": good + "--adapter prepend=x",
	} {
		_, err := output(t, append([]string{"eval", "paper", "--model", tiny}, strings.Fields(args)...)...)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}

// TestPublishedFigures: the figures stand beside models of the paper's shapes only, six rows
// of four domains each.
func TestPublishedFigures(t *testing.T) {
	c := modeltest.Family(t, "opt").Config
	if _, ok := eval.PublishedFor(c); ok {
		t.Error("a tiny model has published figures")
	}
	c.Layers, c.Hidden = 24, 2048
	p, ok := eval.PublishedFor(c)
	if !ok || p.Model != "OPT-1.3B" || len(p.Rows) != 6 || p.Rows["flashback"][1] != 8.72 {
		t.Errorf("OPT-1.3B: %v, %v", p, ok)
	}
	for _, r := range eval.PaperRows(c, 130) {
		if figures := p.Rows[r.Name]; (len(figures) == len(eval.Domains)) == r.Ours {
			t.Errorf("row %s, ours %v, has the published figures %v", r.Name, r.Ours, figures)
		}
	}
	c.Family = "llama"
	if _, ok := eval.PublishedFor(c); ok {
		t.Error("another family has OPT's figures")
	}
}

// TestPaperTargets: GPT-2's adapters are to change what the paper's did, which its PEFT names
// c_attn and c_proj.
func TestPaperTargets(t *testing.T) {
	for _, r := range eval.PaperRows(modeltest.Family(t, "gpt2").Config, 130) {
		if r.Trained == nil {
			continue
		}
		flag, ok := strings.CutPrefix(r.Trained[len(r.Trained)-1], "--targets ")
		targets, err := train.ParseTargets(flag)
		if !ok || err != nil || !slices.Equal(targets, train.Targets{model.Q, model.K, model.V, model.O, model.Down}) {
			t.Errorf("row %s is trained with %v, which changes %v: %v", r.Name, r.Trained, targets, err)
		}
	}
}
