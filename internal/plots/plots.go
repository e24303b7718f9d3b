// Package plots writes what several reports draw alike.
package plots

import (
	"io"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// SideBySide draws panels to a file of the type that its name ends in: .png,
// .svg or .pdf.
func SideBySide(file string, panels ...*plot.Plot) error {
	canvas, err := draw.NewFormattedCanvas(vg.Length(max(11, 4.5*float64(len(panels))))*vg.Inch, 4.5*vg.Inch, strings.TrimPrefix(filepath.Ext(file), "."))
	if err != nil {
		return err
	}
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: vg.Points(24), PadTop: vg.Points(4), PadRight: vg.Points(12)}
	for i, c := range plot.Align([][]*plot.Plot{panels}, tiles, draw.New(canvas))[0] {
		panels[i].Draw(c)
	}
	return atomicfile.Write(file, func(w io.Writer) error {
		_, err := canvas.WriteTo(w)
		return err
	})
}
