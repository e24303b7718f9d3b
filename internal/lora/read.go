package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// The files of an adapter.
const (
	configFile  = "adapter_config.json"
	weightsFile = "adapter_model.safetensors"
	infoFile    = "flashback.json"
)

// maxJSON bounds a JSON file, in bytes.
const maxJSON = 4 << 20

// maxBehind bounds how far behind the base's vocabulary a new token may be.
const maxBehind = 1 << 16

// What PEFT's names of tensors begin and end with.
const (
	prefix      = "base_model.model."
	deltaSuffix = ".token_adapter.trainable_tokens_delta"
	savedSuffix = ".weight"
	suffixA     = ".lora_A.weight"
	suffixB     = ".lora_B.weight"
)

// Read reads an adapter of PEFT's in the directory dir and checks it against the
// base model's shape. Errors name the file, the place and the reason. An adapter
// that FlashBack did not write has no Info.
func Read(dir string, base Shape) (*Adapter, error) {
	data, err := readFile(filepath.Join(dir, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, errNoAdapter)
	} else if err != nil {
		return nil, err
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, configFile), err)
	}
	a := &Adapter{
		Shape:  base,
		Config: Config{Rank: int(c.R), Alpha: c.Alpha, RSLoRA: c.RSLoRA, Dropout: c.Dropout},
	}
	if c.Base != nil {
		a.Config.Base = *c.Base
	}
	if a.Info, err = readInfo(filepath.Join(dir, infoFile)); err != nil {
		return nil, err
	}
	if v := a.Info.Vocabulary; v != 0 && v != base.Vocab {
		return nil, fmt.Errorf("%s: trained on a vocabulary of %d, and the model has %d: use its own base model", filepath.Join(dir, infoFile), v, base.Vocab)
	}
	path := filepath.Join(dir, weightsFile)
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := a.take(f.Tensors, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := a.checkInfo(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, infoFile), err)
	}
	return a, nil
}

// IsAdapter reports whether a directory has an adapter.
func IsAdapter(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, configFile))
	return err == nil && info.Mode().IsRegular()
}

// ReadInfo reads what an adapter was trained for; the zero value where PEFT
// wrote it.
func ReadInfo(dir string) (Info, error) { return readInfo(filepath.Join(dir, infoFile)) }

func readInfo(path string) (Info, error) {
	var info Info
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return info, nil
	} else if err != nil {
		return info, err
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// readFile reads a small regular file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(data) > maxJSON {
		err = fmt.Errorf("%s: larger than %d MiB, no configuration of an adapter", path, maxJSON>>20)
	}
	return data, err
}

// take binds the tensors of a file.
func (a *Adapter) take(tensors []safetensors.Tensor, c *peftConfig) error {
	a.Layers = make([]Layer, a.Shape.Layers)
	module := a.Shape.Embedding.Module()
	ids, err := c.rows(last(module))
	if err != nil {
		return err
	}
	for _, name := range c.Saved {
		if name != last(module) {
			return fmt.Errorf("modules_to_save names %q: only %s is read", clip(name), last(module))
		}
	}
	places := a.places()
	rows := false
	for _, t := range tensors {
		at, half := places[t.Name]
		switch {
		case half:
			err = a.takeFactor(t, at, c)
		case t.Name == prefix+module+deltaSuffix && !rows:
			rows, err = true, a.takeRows(t, ids)
		case t.Name == prefix+module+savedSuffix && !rows && len(c.Saved) > 0:
			rows, err = true, a.takeEmbedding(t)
		default:
			return fmt.Errorf("tensor %q: the base model, of %d layers, has no such part, or FlashBack trains none there", clip(t.Name), a.Shape.Layers)
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	if !rows && (len(ids) > 0 || len(c.Saved) > 0) {
		return errors.New("the embeddings that the configuration names are missing")
	}
	return a.complete(c)
}

// place is where one half of a factor belongs.
type place struct {
	layer  int
	target model.Role
	b      bool // lora_B, not lora_A
}

// places returns the halves of all factors that the base model has room for, by PEFT's
// names.
func (a *Adapter) places() map[string]place {
	places := map[string]place{}
	for i := range a.Shape.Layers {
		for r, t := range a.Shape.Projections {
			if t.Rows > 0 {
				module := prefix + a.Shape.Module(i, model.Role(r))
				places[module+suffixA] = place{i, model.Role(r), false}
				places[module+suffixB] = place{i, model.Role(r), true}
			}
		}
	}
	return places
}

// takeFactor binds one half of a factor.
func (a *Adapter) takeFactor(t safetensors.Tensor, at place, c *peftConfig) error {
	module, projection := a.Shape.Module(at.layer, at.target), a.Shape.Projections[at.target]
	rank, err := c.rankOf(module)
	if err != nil {
		return err
	}
	alpha, err := c.alphaOf(module)
	if err != nil {
		return err
	}
	in, out := projection.Cols, projection.Rows
	want := []int{rank, in}
	if at.b {
		want = []int{out, rank}
	}
	if !slices.Equal(t.Shape, want) {
		return fmt.Errorf("its shape is %v, and %v is that of rank %d on this base model", t.Shape, want, rank)
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	f := a.Layers[at.layer][at.target]
	if f == nil {
		f = &Factor{Rank: rank, In: in, Out: out, Scale: a.Config.Scale(rank, alpha)}
		a.Layers[at.layer][at.target] = f
	}
	if at.b {
		f.B = projection.FromHuggingFace(values, rank)
	} else {
		f.A = values
	}
	return nil
}

// finite returns a tensor's numbers, or an error that says which is infinite or NaN.
func finite(t safetensors.Tensor) ([]float32, error) {
	values := t.Floats()
	for i, v := range values {
		if v-v != 0 {
			return nil, fmt.Errorf("number %d is %v: the training that wrote it had failed", i, v)
		}
	}
	return values, nil
}

// takeRows binds the rows of trainable_token_indices.
func (a *Adapter) takeRows(t safetensors.Tensor, ids []int32) error {
	if want := []int{len(ids), a.Shape.Hidden}; !slices.Equal(t.Shape, want) {
		return fmt.Errorf("its shape is %v, and %v is that of %d tokens on this base model", t.Shape, want, len(ids))
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	for i, id := range ids {
		switch {
		case id < 0 || int(id) >= min(a.Shape.Vocab+maxBehind, math.MaxInt32):
			return fmt.Errorf("token %d is neither one of the base model's %d nor close behind them", id, a.Shape.Vocab)
		case int(id) < a.Shape.Vocab && a.Shape.Tied:
			return fmt.Errorf("token %d is one of the base model's %d, whose output head is its embedding: rows that change both are not supported", id, a.Shape.Vocab)
		}
		a.Rows = append(a.Rows, Row{id, values[i*a.Shape.Hidden : (i+1)*a.Shape.Hidden]})
	}
	return a.sortRows()
}

// takeEmbedding binds a whole embedding.
func (a *Adapter) takeEmbedding(t safetensors.Tensor) error {
	if len(t.Shape) != 2 || t.Shape[0] < a.Shape.Vocab || t.Shape[0] > a.Shape.Vocab+maxBehind || t.Shape[1] != a.Shape.Hidden {
		return fmt.Errorf("its shape is %v, and the base model's embedding is [%d, %d]", t.Shape, a.Shape.Vocab, a.Shape.Hidden)
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	for i := range t.Shape[0] {
		a.Rows = append(a.Rows, Row{int32(i), values[i*a.Shape.Hidden : (i+1)*a.Shape.Hidden]})
	}
	return nil
}

func (a *Adapter) sortRows() error {
	slices.SortFunc(a.Rows, func(x, y Row) int { return int(x.Token) - int(y.Token) })
	for i := 1; i < len(a.Rows); i++ {
		if a.Rows[i].Token == a.Rows[i-1].Token {
			return fmt.Errorf("token %d is there twice", a.Rows[i].Token)
		}
	}
	return nil
}

// complete checks that no half of a factor is missing, and none of a target that
// the configuration names.
func (a *Adapter) complete(c *peftConfig) error {
	var has [model.Projections]bool
	for i := range a.Layers {
		for t, f := range a.Layers[i] {
			if f == nil {
				continue
			}
			has[t] = true
			if f.A == nil || f.B == nil {
				return fmt.Errorf("%s has one of lora_A and lora_B only", a.Shape.Module(i, model.Role(t)))
			}
		}
	}
	for t := range model.Projections {
		if has[t] {
			a.Config.Targets = append(a.Config.Targets, t)
		}
	}
	for _, name := range c.targets() {
		targets, err := a.Shape.named(name)
		if err != nil {
			return fmt.Errorf("target_modules: %w", err)
		}
		for i := range a.Layers {
			for _, t := range targets {
				if a.Layers[i][t] == nil {
					return fmt.Errorf("%s is a target of %s and has no factors", a.Shape.Module(i, t), configFile)
				}
			}
		}
	}
	return nil
}

// checkInfo checks what flashback.json says against the weights.
func (a *Adapter) checkInfo() error {
	info := &a.Info
	if info.Echo < placement.Turn || info.Echo > 1<<20 || info.Passages < 0 || info.Passages > 1<<10 {
		return fmt.Errorf("an echo of %s and %d passages make no sense", info.Echo, info.Passages)
	}
	if m := info.Marks; m != nil {
		for _, id := range []int32{m.Left, m.Right} {
			if a.Row(id) == nil && (id < 0 || int(id) >= a.Shape.Vocab) {
				return fmt.Errorf("mark %d has no embedding", id)
			}
		}
	}
	return nil
}
