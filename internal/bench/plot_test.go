package bench

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/plot/plotter"
)

// sampleRows are rows of three lengths with roughly the proportions of a real run.
func sampleRows() []Row {
	var rows []Row
	for i, context := range []int{512, 2048, 8192} {
		grow := float64(int(1) << (2 * i))
		kv := int64(context) * 23_040
		rows = append(rows,
			Row{Placement: "virtual", Evidence: "cold", Context: context, Passages: 1, MSPerToken: 30 + 2*grow, KVBytes: kv},
			Row{Placement: "virtual", Evidence: "warm", Context: context, Passages: 1, MSPerToken: 11 + 1.8*grow, KVBytes: kv},
			Row{Placement: "append", Context: context, Passages: 1, MSPerToken: 33 + 2.2*grow, KVBytes: kv,
				Peer: &PeerRow{Name: "llama.cpp", Placement: "append", MSPerToken: 40 + 5*grow}},
			Row{Placement: "prepend", Context: context, Passages: 1, MSPerToken: 150 * grow, KVBytes: kv,
				Peer: &PeerRow{Name: "llama.cpp", Placement: "prepend", MSPerToken: 160 * grow * grow}},
			Row{Placement: "none", Context: context, MSPerToken: 8 + 1.5*grow, KVBytes: kv})
	}
	return rows
}

// passageRows are rows of one length with three numbers of passages.
func passageRows() []Row {
	rows := []Row{{Placement: "none", Context: 1024, MSPerToken: 10, KVBytes: 23 << 20}}
	for _, k := range []int{1, 2, 8} {
		rows = append(rows,
			Row{Placement: "virtual", Evidence: "cold", Context: 1024, Passages: k, MSPerToken: 12 + 6*float64(k), KVBytes: int64(23+3*k) << 20},
			Row{Placement: "prepend", Context: 1024, Passages: k, MSPerToken: 120 * float64(k), KVBytes: int64(26*k) << 20})
	}
	return rows
}

func TestPlot(t *testing.T) {
	compared := sampleRows()
	for i := range compared {
		compared[i].RatioToPrepend = compared[i/5*5+3].MSPerToken / compared[i].MSPerToken
	}
	for name, rows := range map[string][]Row{
		"lengths": sampleRows(), "one length": sampleRows()[:5], "passages": passageRows(), "ratios": compared,
		"one row": {{Placement: "none", Context: 64, MSPerToken: 0.2, KVBytes: 1 << 18}},
	} {
		t.Run(name, func(t *testing.T) {
			panels := 2
			if rows[0].RatioToPrepend > 0 {
				panels = 3
			}
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
			b := picture.Bounds()
			for nth := range panels {
				drawn, _ := curves(rows)
				hues, dots := hues(picture, image.Rect(b.Dx()*nth/panels, 0, b.Dx()*(nth+1)/panels, b.Dy()))
				// Several curves may need the same memory, and a single point is thin.
				if nth == 0 && hues < len(drawn) || dots < 10 {
					t.Errorf("panel %d has %d hues on %d dots: curves are missing", nth, hues, dots)
				}
			}
		})
	}
	if err := Plot(filepath.Join(t.TempDir(), "loop.bmp"), "a stride", sampleRows()); err == nil {
		t.Error("no error for a type of picture that is unknown")
	}
}

// hues counts the colours, those of edges left out, and all coloured dots in a part
// of a picture.
func hues(picture image.Image, part image.Rectangle) (hues, dots int) {
	colours := map[[3]uint32]int{}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			if max(r, g, b)-min(r, g, b) > 0x2800 {
				colours[[3]uint32{r, g, b}]++
				dots++
			}
		}
	}
	for _, n := range colours {
		if n > 20 {
			hues++
		}
	}
	return hues, dots
}

// TestCurves: rows grow with the context where that differs, else with the
// passages, and those without evidence are as high everywhere.
func TestCurves(t *testing.T) {
	all, x := curves(sampleRows())
	if x.label != "context, tokens" || len(x.ticks) != 3 || len(all) != 5 {
		t.Fatalf("%d curves along %q with %d ticks", len(all), x.label, len(x.ticks))
	}
	if c := all[2]; c.name != "append" || len(c.ms) != 3 || len(c.peer) != 3 || c.peerName != "llama.cpp append" || c.memory[1].Y != 2048*23_040/(1<<20) {
		t.Errorf("%+v", c)
	}
	all, x = curves(passageRows())
	if x.label != "passages" || len(x.ticks) != 3 || x.ticks[2].Value != 8 || len(all) != 3 {
		t.Fatalf("%d curves along %q with ticks %v", len(all), x.label, x.ticks)
	}
	if c := all[0]; c.name != "none" || len(c.ms) != 3 || c.ms[2] != (plotter.XY{X: 8, Y: 10}) {
		t.Errorf("%+v", c)
	}
	if c := all[1]; c.name != "virtual cold" || len(c.ms) != 3 || c.memory[2].Y != 23+3*8 {
		t.Errorf("%+v", c)
	}
	both := append(passageRows(), sampleRows()...)
	if all, x = curves(both); x.label != "context, tokens" || len(all) != 5+2+2 {
		t.Errorf("%d curves along %q", len(all), x.label)
	}
}
