package model

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/checkpoint/safetensors"
	"github.com/flashback-lm/flashback/internal/tensor"
)

// arrange gives the tensors of the family's list GGUF's names and order of rows. Those
// that the list lacks keep theirs.
func (d *directory) arrange(c Config) error {
	if err := d.agree(c); err != nil {
		return err
	}
	tied, said := d.values["tie_word_embeddings"].(bool)
	used := map[string]bool{}
	for s := range (&Weights{Config: c, Layers: make([]Tensors, c.Layers)}).All() {
		name := d.stored(s.HuggingFace)
		t, ok := d.weights.Tensors[name]
		used[name] = true
		switch {
		case s.Role == Head && tied: // some files have it nevertheless
			continue
		case s.Role == Head && said && !ok:
			return fmt.Errorf("%s: config.json says tie_word_embeddings false, and there is no %s", d.path, s.HuggingFace)
		case !ok && s.Optional:
			continue
		case !ok:
			return fmt.Errorf("%s: there is no tensor %q, which config.json asks for: the download is not whole, or config.json is another model's", d.path, s.HuggingFace)
		}
		if _, ok := d.tensors[s.GGUF]; ok { // of another part of the same tensor
			continue
		}
		m, err := d.matrix(s, t)
		if err != nil {
			return err
		}
		if n, err := d.Uint("vocab_size"); s.Role == Embedding && err == nil && n != uint64(m.Rows) {
			return fmt.Errorf("%s: tensor %q has %d rows, and config.json says vocab_size %d", d.path, name, m.Rows, n)
		}
		d.tensors[s.GGUF] = m
	}
	for _, name := range slices.Sorted(maps.Keys(d.weights.Tensors)) {
		if t := d.weights.Tensors[name]; !used[name] && !masks(name) {
			d.tensors[name] = tensor.Matrix{Name: name, Type: t.Type, Rows: rowsOf(t), Cols: t.Len() / max(1, rowsOf(t)), Data: t.Data}
		}
	}
	return d.addFactors(c)
}

// stored returns the name under which a tensor is stored: checkpoints of a model without
// a head lack the first part of it, model. or transformer.
func (d *directory) stored(name string) string {
	if _, ok := d.weights.Tensors[name]; !ok {
		if _, rest, _ := strings.Cut(name, "."); rest != "" {
			if _, ok := d.weights.Tensors[rest]; ok {
				return rest
			}
		}
	}
	return name
}

func rowsOf(t safetensors.Tensor) int {
	if len(t.Shape) < 2 {
		return 1
	}
	return t.Shape[0]
}

// masks reports whether a tensor of a checkpoint only restates what every token sees, or the
// rotary frequencies, as older libraries saved them.
func masks(name string) bool {
	return strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") || strings.HasSuffix(name, ".rotary_emb.inv_freq")
}

// matrix returns the tensor that a part of the list is in, in the model's form: the mapped
// file's bytes, or a copy where that differs.
func (d *directory) matrix(s Spec, t safetensors.Tensor) (tensor.Matrix, error) {
	rows, cols := s.Stored()
	if rows == 0 { // as many as the vocabulary has tokens
		rows = rowsOf(t)
	}
	m := tensor.Matrix{Name: s.GGUF, Type: t.Type, Rows: rows, Cols: cols, Data: t.Data}
	shape := []int{rows, cols}
	switch {
	case rows == 1:
		shape = shape[1:]
	case s.Transposed:
		shape = []int{cols, rows}
	}
	if rows == 0 || !slices.Equal(t.Shape, shape) {
		return m, fmt.Errorf("%s: tensor %q has the shape %v, and config.json asks for %v", d.path, t.Name, t.Shape, shape)
	}
	switch {
	case s.Paired > 0:
		m.Data = make([]byte, len(t.Data))
		n := m.RowBytes()
		for ours, theirs := range s.order(m.Rows) {
			copy(m.Data[ours*n:(ours+1)*n], t.Data[theirs*n:])
		}
	case s.Transposed:
		m.Data = transpose(t.Data, cols, rows, t.Type.BlockBytes())
	case s.LessOne:
		m.Type, m.Data = tensor.F32, nil
		for _, v := range t.Floats() {
			m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(v+1))
		}
	default:
		return m, nil
	}
	d.copied += int64(len(m.Data))
	return m, nil
}

// transpose returns a matrix [rows, cols] of numbers of so many bytes as [cols, rows].
func transpose(data []byte, rows, cols, size int) []byte {
	out := make([]byte, 0, len(data))
	for c := range cols {
		for r := range rows {
			at := (r*cols + c) * size
			out = append(out, data[at:at+size]...)
		}
	}
	return out
}

// agree compares what config.json says in words and lists with what the family computes.
func (d *directory) agree(c Config) error {
	all := c.HuggingFace()
	all["layer_types"] = c.layerTypes()
	maps.Copy(all, assumed)
	for key, computed := range all {
		switch computed.(type) {
		case string, bool, []string, []int:
		default: // numbers were read from it
			continue
		}
		said, ok := d.values[key]
		if key == "model_type" || key == "architectures" || !ok {
			continue
		}
		theirs, err := json.Marshal(said)
		if err != nil {
			return err
		}
		ours, err := json.Marshal(computed)
		if err != nil {
			return err
		}
		if string(theirs) != string(ours) {
			return fmt.Errorf("%s: config.json says %s %s, and FlashBack's %s family computes with %s", d.path, key, theirs, c.Family, ours)
		}
	}
	return nil
}

// addFactors adds the vector of factors that Llama 3's rotary scaling gives by formula
// (transformers' modeling_rope_utils.py, rope_type llama3), under GGUF's name.
func (d *directory) addFactors(c Config) error {
	scaling := ""
	for _, at := range ropeObjects {
		if d.Has(at + "low_freq_factor") {
			scaling = at
		}
	}
	if scaling == "" {
		return nil
	}
	var n [4]float64
	for i, key := range []string{"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"} {
		var err error
		if n[i], err = d.Float(scaling + key); err != nil {
			return err
		}
		if !(n[i] > 0) || math.IsInf(n[i], 0) {
			return fmt.Errorf("%s: config.json: %s is %v: it must be positive", d.path, scaling+key, n[i])
		}
	}
	factor, low, high, context := n[0], n[1], n[2], n[3]
	if high <= low {
		return fmt.Errorf("%s: config.json: %shigh_freq_factor %v is not above low_freq_factor %v", d.path, scaling, high, low)
	}
	m := tensor.Matrix{Name: factorsName, Type: tensor.F32, Rows: 1, Cols: c.Turned() / 2}
	for i := range m.Cols {
		wave := 2 * math.Pi * math.Pow(c.RopeBase, float64(2*i)/float64(c.Turned()))
		// Short waves stay, long ones are stretched, those between change over.
		smooth := min(1, max(0, (context/wave-low)/(high-low)))
		m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(float32(1/((1-smooth)/factor+smooth))))
	}
	d.tensors[factorsName] = m
	return nil
}

// addLongFactors adds LongRoPE's vectors of factors, of short texts and of long ones, under
// GGUF's names.
func (d *directory) addLongFactors() error {
	for _, at := range ropeObjects {
		for key, name := range map[string]string{"short_factor": shortFactors, "long_factor": longFactors} {
			if !d.Has(at + key) {
				continue
			}
			factors, err := d.Floats(at + key)
			if err != nil {
				return err
			}
			m := tensor.Matrix{Name: name, Type: tensor.F32, Rows: 1, Cols: len(factors)}
			for _, f := range factors {
				m.Data = binary.LittleEndian.AppendUint32(m.Data, math.Float32bits(float32(f)))
			}
			d.tensors[name] = m
		}
	}
	return nil
}
