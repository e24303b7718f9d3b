package eval

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// heights are points with the ends of their intervals above and below them, as plotter
// wants them.
type heights struct {
	plotter.XYs
	plotter.YErrors
}

// Plot draws what each row's answers are worth against what they cost, with
// intervals, to a file of the type that its name ends in: .png, .svg or .pdf. The axis
// of the cost is logarithmic.
func (r QAResult) Plot(file, title string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "tokens computed a question", "right answer in the answer, %, 95 % interval"
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(8), vg.Points(6), vg.Points(6)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(logTicks)
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(2)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	for i, row := range r.Rows {
		e, c := row.InAnswer, plotutil.DarkColors[i%len(plotutil.DarkColors)]
		at := heights{
			plotter.XYs{{X: row.Computed, Y: e.Value}},
			plotter.YErrors{{Low: e.Value - e.Low, High: e.High - e.Value}},
		}
		point, err := plotter.NewScatter(at)
		if err != nil {
			return err
		}
		point.Color, point.Shape, point.Radius = c, plotutil.Shape(i), vg.Points(4)
		bars, err := plotter.NewYErrorBars(at)
		if err != nil {
			return err
		}
		bars.Color, bars.Width, bars.CapWidth = c, vg.Points(1.2), vg.Points(8)
		p.Add(bars, point)
		p.Legend.Add(row.Row.String(), point)
		p.X.Max = max(p.X.Max, row.Computed*1.3)
		p.X.Min = min(p.X.Min, row.Computed/1.3)
		p.Y.Max = max(p.Y.Max, e.High)
	}
	p.Y.Max *= 1 + 0.05*float64(len(r.Rows)) // room for the legend
	return p.Save(7*vg.Inch, 5*vg.Inch, file)
}
