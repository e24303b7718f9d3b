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
	"strings"
	"syscall"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// The files of an adapter.
const (
	configFile  = "adapter_config.json"
	weightsFile = "adapter_model.safetensors"
	infoFile    = "flashback.json"
)

// maxJSON bounds a JSON file, in bytes.
const maxJSON = 4 << 20

// maxBehind bounds how far behind the base's vocabulary a new token may be, maxFewer how
// many rows less than the base's a table may have: those that pad it and no token has. Of
// a small vocabulary it is an eighth.
const (
	maxBehind = 1 << 16
	maxFewer  = 1 << 10
)

// Read reads the adapter at path, a directory of PEFT's or mlx-lm's or a GGUF file, and
// checks it against the base model's shape. Errors name the file, the place and the
// reason. An adapter that FlashBack did not write has no Info.
func Read(path string, base Shape) (*Adapter, error) {
	f, err := open(path, base)
	if err != nil {
		return nil, err
	}
	defer f.close()
	info, err := ReadInfo(path)
	if err != nil {
		return nil, err
	}
	return f.adapter(path, base, info)
}

// ReadFS is Read of an adapter of PEFT's whose files fsys has; errors call it by name.
func ReadFS(fsys fs.FS, name string, base Shape) (*Adapter, error) {
	f, err := openFS(fsys, name)
	if err != nil {
		return nil, err
	}
	info, err := ReadInfoFS(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f.adapter(name, base, info)
}

// adapter binds what opened files hold.
func (f *opened) adapter(path string, base Shape, info Info) (*Adapter, error) {
	c := f.config
	a := &Adapter{
		Shape:  base,
		Config: Config{Rank: int(c.R), Alpha: c.Alpha, RSLoRA: c.RSLoRA, Dropout: c.Dropout},
		Info:   info,
	}
	if c.Base != nil {
		a.Config.Base = *c.Base
	}
	if v := a.Info.Vocabulary; v != 0 && v != base.Vocab {
		return nil, fmt.Errorf("%s: trained on a vocabulary of %d, and the model has %d: use its own base model", filepath.Join(path, infoFile), v, base.Vocab)
	}
	if err := a.take(f.tensors, c); err != nil {
		return nil, fmt.Errorf("%s: %w", f.weights, err)
	}
	if err := a.checkInfo(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(path, infoFile), err)
	}
	return a, nil
}

// IsAdapter reports whether a directory has an adapter, of PEFT's or mlx-lm's, or a GGUF
// file says that it is one.
func IsAdapter(path string) bool {
	if isGGUF(path) {
		return saysAdapter(path)
	}
	info, err := os.Stat(filepath.Join(path, configFile))
	return err == nil && info.Mode().IsRegular()
}

// ReadInfo reads what an adapter was trained for; the zero value where others than
// FlashBack wrote it.
func ReadInfo(path string) (Info, error) {
	if isGGUF(path) {
		return Info{}, nil
	}
	path = filepath.Join(path, infoFile)
	data, err := readFile(path)
	return parseInfo(data, err, path)
}

// ReadInfoFS is ReadInfo of the files that fsys has.
func ReadInfoFS(fsys fs.FS) (Info, error) {
	data, err := fs.ReadFile(fsys, infoFile)
	return parseInfo(data, err, infoFile)
}

// parseInfo reads the data of a file of that path, or says what reading it failed with.
func parseInfo(data []byte, err error, path string) (info Info, _ error) {
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
	if errors.Is(err, syscall.ENOTDIR) { // a file was named, such as the weights themselves
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(data) > maxJSON {
		err = fmt.Errorf("%s: larger than %d MiB, no configuration of an adapter", path, maxJSON>>20)
	}
	return data, err
}

// take binds the tensors of a file. They say which modules the adapter changes, whatever
// the configuration's names and expressions for them.
func (a *Adapter) take(tensors []safetensors.Tensor, c *peftConfig) error {
	a.Layers = make([]Layer, a.Shape.Layers)
	ids, err := c.rows(last(a.Shape.Embedding.Module()))
	if err != nil {
		return err
	}
	places, taken := a.Shape.places(), map[string]bool{}
	for _, t := range tensors {
		name := plain(t.Name)
		if strings.HasSuffix(name, originalSuffix) {
			continue
		}
		at, ok := places[name]
		switch {
		case !ok:
			return fmt.Errorf("tensor %q: the base model, of %d layers, has no such part, or FlashBack adapts none there", clip(t.Name), a.Shape.Layers)
		case taken[name]:
			return fmt.Errorf("tensor %q: it is there twice, under another name too", clip(t.Name))
		}
		taken[name] = true
		switch {
		case at.part == delta:
			err = a.takeRows(t, ids)
		case at.part == whole && at.Role == model.Embedding:
			err = a.takeEmbedding(t)
		case at.part == whole:
			err = a.takeSaved(t, at.Spec)
		default:
			err = a.takeFactor(t, at, c)
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	if len(ids) > 0 && len(a.Rows) == 0 {
		return errors.New("the embeddings that the configuration names are missing")
	}
	embedding := a.Shape.Embedding
	// A copy that modules_to_save made is of the embedding alone; all else changes the
	// tensor that the head is too.
	if a.Shape.Tied && len(a.Rows) > 0 && int(a.Rows[0].Token) < a.Shape.Vocab && !c.saves(embedding.Module()) && !taken[prefix+a.Shape.Head.HuggingFace] {
		a.TiedRows = true
	}
	return a.complete()
}

// factor returns where the factor of a place stands.
func (a *Adapter) factor(at model.Spec) **Factor {
	switch {
	case at.Role == model.Embedding:
		return &a.Embedding
	case at.Role == model.Head:
		return &a.Head
	}
	return &a.Layers[at.Layer][at.Role]
}

// takeFactor binds one half of a factor. Those of the head and of the embedding may have
// rows behind the base's vocabulary; of the head's these are left out.
func (a *Adapter) takeFactor(t safetensors.Tensor, at place, c *peftConfig) error {
	rank, scale, err := a.scaleOf(t, at, c)
	if err != nil {
		return err
	}
	in, out := at.Cols, at.Rows
	if at.Of > 0 {
		out = at.Of
	}
	if at.Role == model.Embedding {
		in, out = out, in
	}
	want, tokens := []int{rank, in}, -1
	if at.part == factorB {
		want = []int{out, rank}
	}
	switch { // which dimension counts tokens
	case at.Role == model.Embedding && at.part == factorA:
		tokens = 1
	case at.Role == model.Head && at.part == factorB:
		tokens = 0
	}
	if tokens >= 0 && len(t.Shape) == 2 && a.fits(t.Shape[tokens]) {
		want[tokens] = t.Shape[tokens]
	}
	if !slices.Equal(t.Shape, want) {
		return fmt.Errorf("its shape is %v, and %v is that of rank %d on this base model", t.Shape, want, rank)
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	for _, s := range at.parts {
		if s.Of > 0 {
			out = s.Rows
		}
		stands := a.factor(s)
		if *stands == nil {
			*stands = &Factor{Rank: rank, In: in, Out: out, Scale: scale}
		}
		f := *stands
		if f.Rank != rank {
			return fmt.Errorf("its rank is %d, and that of the other half %d", rank, f.Rank)
		}
		switch {
		case at.part == factorA:
			f.A, f.In = values, want[1]
		case s.Role == model.Head:
			f.B = make([]float32, out*rank)
			copy(f.B, values)
		default:
			f.B = s.FromHuggingFace(values[s.First*rank:(s.First+out)*rank], rank)
		}
	}
	return nil
}

// scaleOf returns the rank and scale of the factor that a tensor is a half of.
func (a *Adapter) scaleOf(t safetensors.Tensor, at place, c *peftConfig) (rank int, scale float32, err error) {
	if c.scale != nil {
		if len(t.Shape) != 2 {
			return 0, 0, fmt.Errorf("its shape is %v, which is no matrix", t.Shape)
		}
		if rank = t.Shape[0]; at.part == factorB {
			rank = t.Shape[1]
		}
		if rank < 1 || rank > maxRank {
			return 0, 0, fmt.Errorf("its rank is %d: it must be from 1 to %d", rank, maxRank)
		}
		return rank, c.scale(rank), nil
	}
	if rank, err = c.rankOf(at.Module()); err != nil {
		return 0, 0, err
	}
	alpha, err := c.alphaOf(at.Module())
	return rank, a.Config.Scale(rank, alpha), err
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
	width := a.Shape.Embedding.Cols
	if want := []int{len(ids), width}; !slices.Equal(t.Shape, want) {
		return fmt.Errorf("its shape is %v, and %v is that of %d tokens on this base model", t.Shape, want, len(ids))
	}
	if len(a.Rows) > 0 {
		return errors.New("the embedding is there whole too")
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if id < 0 || int(id) >= min(a.Shape.Vocab+maxBehind, math.MaxInt32) {
			return fmt.Errorf("token %d is neither one of the base model's %d nor close behind them", id, a.Shape.Vocab)
		}
		a.Rows = append(a.Rows, Row{id, values[i*width : (i+1)*width]})
	}
	return a.sortRows()
}

// takeEmbedding binds a whole embedding.
func (a *Adapter) takeEmbedding(t safetensors.Tensor) error {
	width := a.Shape.Embedding.Cols
	if err := a.checkTable(t, width); err != nil {
		return err
	}
	if len(a.Rows) > 0 {
		return errors.New("rows of the embedding are there too")
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	for i := range t.Shape[0] {
		a.Rows = append(a.Rows, Row{int32(i), values[i*width : (i+1)*width]})
	}
	return nil
}

// fits reports whether a table of the base's may have so many rows: its vocabulary may have
// been resized.
func (a *Adapter) fits(rows int) bool {
	v := a.Shape.Vocab
	return rows >= max(v-maxFewer, v-v/8) && rows <= v+maxBehind
}

// checkTable checks the shape of a table with a row for each token.
func (a *Adapter) checkTable(t safetensors.Tensor, width int) error {
	if len(t.Shape) != 2 || !a.fits(t.Shape[0]) || t.Shape[1] != width {
		return fmt.Errorf("its shape is %v, and the base model's is [%d, %d]", t.Shape, a.Shape.Vocab, width)
	}
	return nil
}

// takeSaved binds a tensor that stands in the place of the base's: a norm, or the head,
// whose rows behind the base's vocabulary are left out.
func (a *Adapter) takeSaved(t safetensors.Tensor, s model.Spec) error {
	if s.Role == model.Head {
		if err := a.checkTable(t, s.Cols); err != nil {
			return err
		}
	} else if !slices.Equal(t.Shape, []int{s.Cols}) {
		return fmt.Errorf("its shape is %v, and the base model's is [%d]", t.Shape, s.Cols)
	}
	values, err := finite(t)
	if err != nil {
		return err
	}
	if s.Role == model.Head {
		s.Rows = min(s.Rows, t.Shape[0])
	}
	values = values[:s.Rows*s.Cols]
	if s.LessOne {
		for i := range values {
			values[i]++
		}
	}
	a.Saved = append(a.Saved, Saved{s, tensor.Matrix{
		Name: s.GGUF, Type: tensor.F32, Rows: s.Rows, Cols: s.Cols, Data: safetensors.F32("", values).Data,
	}})
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

// complete checks that no half of a factor is missing, and notes which projections are
// changed.
func (a *Adapter) complete() error {
	var has [model.Projections]bool
	check := func(f *Factor, module string) error {
		if f != nil && (f.A == nil || f.B == nil) {
			return fmt.Errorf("%s has one of lora_A and lora_B only", module)
		}
		return nil
	}
	for i := range a.Layers {
		for t, f := range a.Layers[i] {
			has[t] = has[t] || f != nil
			if err := check(f, a.Shape.Module(i, model.Role(t))); err != nil {
				return err
			}
		}
	}
	for t := range model.Projections {
		if has[t] {
			a.Config.Targets = append(a.Config.Targets, t)
		}
	}
	if err := check(a.Head, a.Shape.Head.Module()); err != nil {
		return err
	}
	return check(a.Embedding, a.Shape.Embedding.Module())
}

// checkInfo checks what flashback.json says against the weights.
func (a *Adapter) checkInfo() error {
	info := &a.Info
	if info.PassageLen < 0 || info.PassageLen > 1<<20 {
		return fmt.Errorf("passages of %d tokens make no sense", info.PassageLen)
	}
	if info.Echo < placement.Turn || info.Echo > 1<<20 || info.Passages < 0 || info.Passages > 1<<10 {
		return fmt.Errorf("an echo of %s and %d passages make no sense", info.Echo, info.Passages)
	}
	if info.Activated && a.Any() {
		return errors.New("an activated adapter applies from the evidence on, and this one changes norms, the head or all embeddings, which are the same for all tokens")
	}
	if _, err := placement.Virtual.WithApart(info.Apart); err != nil {
		return err
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
