package eval

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// intervals are points with the ends of their intervals, as plotter wants them.
type intervals struct {
	plotter.XYs
	plotter.XErrors
}

// Plot draws the perplexity by token of every row with its interval to a file of
// the type that its name ends in: .png, .svg or .pdf. The axis is logarithmic, as
// equal parts of it are then equal relative differences; rows stand one below the
// other, for their names are long.
func (r Result) Plot(file, title string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = title, "perplexity by token, 95 % interval"
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(8), vg.Points(6), vg.Points(6)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(logTicks)
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, color.Gray{225}
	p.Add(grid)
	var all intervals
	var names []string
	for i, row := range r.Rows {
		e := row.Token
		y := float64(len(r.Rows) - 1 - i) // the first on top
		all.XYs = append(all.XYs, plotter.XY{X: e.Value, Y: y})
		all.XErrors = append(all.XErrors, struct{ Low, High float64 }{e.Value - e.Low, e.High - e.Value})
		names = append([]string{row.Row.String()}, names...)
	}
	points, err := plotter.NewScatter(all)
	if err != nil {
		return err
	}
	points.Color, points.Shape, points.Radius = plotutil.Color(2), draw.CircleGlyph{}, vg.Points(3.5)
	bars, err := plotter.NewXErrorBars(all)
	if err != nil {
		return err
	}
	bars.Color, bars.Width, bars.CapWidth = plotutil.Color(2), vg.Points(1.5), vg.Points(10)
	p.Add(bars, points)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	return p.Save(8*vg.Inch, vg.Length(1.2+0.28*float64(len(names)))*vg.Inch, file)
}

// logTicks marks 1, 2, 3, 5 and 7 times the powers of ten.
func logTicks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(least)); e <= math.Log10(most); e++ {
		for _, m := range []float64{1, 2, 3, 5, 7} {
			if v := m * math.Pow(10, e); v >= least && v <= most {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
			}
		}
	}
	return ticks
}
