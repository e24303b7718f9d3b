package train

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogRefuses(t *testing.T) {
	for want, text := range map[string]string{
		":2: not a record":   "{\"step\":1,\"loss\":2}\n{\"step\":",
		":1: neither a loss": `{"step":1}`,
		":1: step -1":        `{"step":-1,"loss":2}`,
		"too long":           `{"step":1,"loss":2,"note":"` + strings.Repeat("x", maxLine) + `"}`,
	} {
		path := filepath.Join(t.TempDir(), "log.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLog(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestPlotsOfAllKinds(t *testing.T) {
	loss := 1.5
	for _, curves := range [][]Curve{
		{{"one step", []Record{{Step: 1, Loss: 2}}}},
		{{"ours", []Record{{Step: 1, Loss: 2}, {Step: 2, Loss: 1}, {Step: 2, Validation: &loss}}}, {"theirs", []Record{{Step: 1, Loss: 2}, {Step: 2, Loss: 1.1}}}},
		{{"validation only", []Record{{Step: 2, Validation: &loss}}}},
	} {
		if err := Plot(filepath.Join(t.TempDir(), "loss.png"), curves); err != nil {
			t.Errorf("%s: %v", curves[0].Name, err)
		}
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add("{\"step\":1,\"loss\":2.5,\"lr\":0.1}\n{\"step\":1,\"validation_loss\":2}\n")
	f.Add("{\"step\":1,\"loss\":null}\n")
	f.Add("\n\n[]")
	f.Fuzz(func(t *testing.T, text string) {
		records, _ := parseLog(strings.NewReader(text))
		for _, r := range records {
			if r.Step < 0 || r.Validation == nil && math.IsNaN(r.Loss) {
				t.Fatalf("took up %+v", r)
			}
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	path := filepath.Join(f.TempDir(), "x")
	config := Config{Recipe: smallRecipe(3)}
	tensors := small().Tensors()
	if err := writeCheckpoint(path, state{Config: config, Step: 2}, tensors); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(checkpointMagic + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseCheckpoint(data, config, small().Tensors())
		if err == nil && s.Step < 0 {
			t.Fatalf("took up %+v", s)
		}
	})
}
