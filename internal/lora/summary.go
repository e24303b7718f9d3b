package lora

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
)

// Summary is what an adapter's files say without its base model.
type Summary struct {
	Dir     string   `json:"dir"`
	Base    string   `json:"base_model_name,omitempty"`
	Rank    int      `json:"rank"`
	Alpha   float64  `json:"alpha"`
	RSLoRA  bool     `json:"rslora"`
	Targets []string `json:"targets"`
	Numbers int64    `json:"numbers"` // trained
	Tensors int      `json:"tensors"`
	Bytes   int64    `json:"bytes"`           // of the weights' file
	Rows    int      `json:"rows"`            // embeddings trained
	Saved   []string `json:"saved,omitempty"` // modules that stand in the place of the base's
	Info    Info     `json:"info"`
}

// Summarise reads what an adapter's files say. They are checked as far as that goes
// without a base model.
func Summarise(dir string) (*Summary, error) {
	f, err := open(dir, Shape{})
	if err != nil {
		return nil, err
	}
	defer f.close()
	c := f.config
	s := &Summary{Dir: dir, Rank: int(c.R), Alpha: c.Alpha, RSLoRA: c.RSLoRA, Targets: c.targets()}
	if c.Base != nil {
		s.Base = *c.Base
	}
	if s.Targets == nil { // an expression, as it is written
		var expression string
		if json.Unmarshal(c.Targets, &expression); expression != "" {
			s.Targets = []string{expression}
		}
	}
	slices.Sort(s.Targets)
	if s.Info, err = ReadInfo(dir); err != nil {
		return nil, err
	}
	for _, t := range f.tensors {
		s.Tensors++
		s.Numbers += int64(t.Len())
		name := strings.TrimPrefix(plain(t.Name), prefix)
		switch {
		case strings.HasSuffix(name, deltaSuffix) && len(t.Shape) == 2:
			s.Rows = t.Shape[0]
		case strings.HasSuffix(name, ".lora_a"), strings.HasSuffix(name, ".lora_b"), // GGUF's, whose base is not known
			strings.HasSuffix(name, suffixA), strings.HasSuffix(name, suffixB), strings.HasSuffix(name, originalSuffix),
			strings.HasSuffix(name, embeddingA), strings.HasSuffix(name, embeddingB):
		default:
			s.Saved = append(s.Saved, strings.TrimSuffix(name, ".weight"))
		}
	}
	file, err := os.Stat(f.weights)
	if err != nil {
		return nil, err
	}
	s.Bytes = file.Size()
	return s, nil
}
