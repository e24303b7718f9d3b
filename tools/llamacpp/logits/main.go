// Logits writes the logits of exact and of fast compute over windows of text, for nearness.py to compare llama.cpp's with:
//
//	go run ./tools/llamacpp/logits -model MODEL.gguf -windows 8 wikitext2.jsonl.zst
//
// The first line is JSON: the vocabulary's size, and the windows' tokens, the model's BOS among them. Then come, window
// by window, the logits that predict each of its tokens but the first, as little-endian f32: [tokens-1, vocabulary] of
// exact compute, and as many of fast.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

func main() {
	path := flag.String("model", "", "the model, a GGUF `FILE`")
	windows := flag.Int("windows", 8, "windows to compute")
	size := flag.Int("tokens", 512, "tokens a window")
	kernels := flag.String("kernels", "", "compute `PATH` of both: avx512vnni, amx … (default: the fastest here)")
	flag.Parse()
	if err := run(*path, flag.Arg(0), *kernels, *windows, *size); err != nil {
		log.Fatal(err)
	}
}

func run(path, data, kernels string, windows, size int) error {
	m, err := model.Load(path)
	if err != nil {
		return err
	}
	defer m.Close()
	text, err := textOf(data)
	if err != nil {
		return err
	}
	lead := m.Tokenizer.Lead()
	ids := m.Tokenizer.Encode(text)
	own := size - len(lead)
	if len(ids) < windows*own {
		return fmt.Errorf("%s has %d tokens, fewer than %d windows of %d", data, len(ids), windows, own)
	}
	header := struct {
		Vocabulary int       `json:"vocabulary"`
		Windows    [][]int32 `json:"windows"`
	}{Vocabulary: m.Config.Vocab}
	for at := range windows {
		header.Windows = append(header.Windows, append(lead[:len(lead):len(lead)], ids[at*own:(at+1)*own]...))
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if err := json.NewEncoder(out).Encode(header); err != nil {
		return err
	}
	var engines []*engine.Engine
	for _, compute := range []engine.Compute{engine.Exact, engine.Fast} {
		e, err := engine.New(&m.Weights, engine.Options{Compute: compute, Kernels: kernels})
		if err != nil {
			return err
		}
		defer e.Close()
		engines = append(engines, e)
	}
	for _, window := range header.Windows {
		for _, e := range engines {
			if err := write(out, e, window); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// textOf returns the texts of WikiText-2's test articles, in the file's order.
func textOf(data string) (string, error) {
	file, err := os.Open(data)
	if err != nil {
		return "", err
	}
	defer file.Close()
	r, _, err := corpus.Decompress(file, data)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var text strings.Builder
	for lines := json.NewDecoder(r); ; {
		var article struct{ ID, Text string }
		if err := lines.Decode(&article); err == io.EOF {
			return text.String(), nil
		} else if err != nil {
			return "", err
		}
		if strings.HasPrefix(article.ID, "wikitext2-test/") {
			text.WriteString(article.Text)
		}
	}
}

// write writes the logits of a window's tokens but the first.
func write(out io.Writer, e *engine.Engine, window []int32) error {
	s := e.NewSequence()
	defer s.Close()
	if err := s.Append(window[0]); err != nil {
		return err
	}
	var failed error
	err := s.Logits(context.Background(), placement.None, nil, window[1:], func(row []float32) {
		if failed == nil {
			failed = binary.Write(out, binary.LittleEndian, row)
		}
	})
	if err != nil {
		return err
	}
	return failed
}
