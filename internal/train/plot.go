package train

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Curve is a training's log under its name.
type Curve struct {
	Name    string
	Records []Record
}

// Plot draws the loss of each step, and of each validation as a point, to a file of
// the type that its name ends in: .png, .svg or .pdf. The first curve is drawn
// through, the others dashed over it.
func Plot(file string, curves []Curve) error {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "step", "loss a target token"
	p.X.Padding, p.Y.Padding = vg.Points(6), vg.Points(6)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	p.Legend.Top, p.Legend.Padding, p.Legend.ThumbnailWidth = true, vg.Points(2), vg.Points(28)
	for i, c := range curves {
		steps, validations := c.points()
		if len(steps) > 0 {
			line, err := plotter.NewLine(steps)
			if err != nil {
				return err
			}
			line.Color, line.Width = plotutil.Color(i), vg.Points(1.2)
			if i > 0 {
				line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
			}
			p.Add(line)
			p.Legend.Add(c.Name, line)
		}
		if len(validations) > 0 {
			points, err := plotter.NewScatter(validations)
			if err != nil {
				return err
			}
			points.Color, points.Shape, points.Radius = plotutil.Color(i), draw.CircleGlyph{}, vg.Points(3.5)
			p.Add(points)
			p.Legend.Add(c.Name+", validation", points)
		}
	}
	return p.Save(8*vg.Inch, 4.5*vg.Inch, file)
}

// points returns the losses of the steps and of the validations by step.
func (c Curve) points() (steps, validations plotter.XYs) {
	for _, r := range c.Records {
		if r.Validation != nil {
			validations = append(validations, plotter.XY{X: float64(r.Step), Y: *r.Validation})
		} else {
			steps = append(steps, plotter.XY{X: float64(r.Step), Y: r.Loss})
		}
	}
	return steps, validations
}
