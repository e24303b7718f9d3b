package bench

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// sampleRows are rows of three lengths with roughly the proportions of a real run.
func sampleRows() []Row {
	var rows []Row
	for i, context := range []int{512, 2048, 8192} {
		grow := float64(int(1) << (2 * i))
		rows = append(rows,
			Row{Placement: "virtual", Evidence: "cold", Context: context, Passages: 1, MSPerToken: 30 + 2*grow},
			Row{Placement: "virtual", Evidence: "warm", Context: context, Passages: 1, MSPerToken: 11 + 1.8*grow},
			Row{Placement: "append", Context: context, Passages: 1, MSPerToken: 33 + 2.2*grow,
				Peer: &PeerRow{Name: "llama.cpp", Placement: "append", MSPerToken: 40 + 5*grow}},
			Row{Placement: "prepend", Context: context, Passages: 1, MSPerToken: 150 * grow,
				Peer: &PeerRow{Name: "llama.cpp", Placement: "prepend", MSPerToken: 160 * grow * grow}},
			Row{Placement: "none", Context: context, MSPerToken: 8 + 1.5*grow})
	}
	return rows
}

func TestPlot(t *testing.T) {
	for name, rows := range map[string][]Row{"lengths": sampleRows(), "one length": sampleRows()[:5]} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "loop.png")
			if err := Plot(file, "a stride", rows); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			picture, err := png.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			colours := map[[3]uint32]bool{}
			for y := range picture.Bounds().Dy() {
				for x := range picture.Bounds().Dx() {
					r, g, b, _ := picture.At(x, y).RGBA()
					colours[[3]uint32{r, g, b}] = true
				}
			}
			if len(colours) < 10 {
				t.Errorf("only %d colours: the curves are missing", len(colours))
			}
		})
	}
	if err := Plot(filepath.Join(t.TempDir(), "loop.bmp"), "a stride", sampleRows()); err == nil {
		t.Error("no error for a type of picture that is unknown")
	}
}
