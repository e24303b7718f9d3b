package eval

import (
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/flashback-lm/flashback/internal/plots"
)

// Plot draws the tokens computed in each turn, a panel a kind of conversations, to a file
// of the type that its name ends in: .png, .svg or .pdf. Ways to paste are dashed.
func (r ChatResult) Plot(file string) error {
	var panels []*plot.Plot
	for _, k := range r.Kinds {
		p, err := k.plot()
		if err != nil {
			return err
		}
		panels = append(panels, p)
	}
	return plots.SideBySide(file, panels...)
}

func (k ChatKind) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = k.title(), "turn", "tokens computed a turn"
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(8), vg.Points(6), vg.Points(6)
	p.X.Tick.Marker = plot.TickerFunc(everyTurn)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding, p.Legend.ThumbnailWidth = vg.Points(2), vg.Points(28)
	draw := func(i int, l Layout, dashes []vg.Length) error {
		at := make(plotter.XYs, len(l.Computed))
		for turn, v := range l.Computed {
			at[turn] = plotter.XY{X: float64(turn + 1), Y: v}
		}
		line, points, err := plotter.NewLinePoints(at)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = plotutil.DarkColors[i%len(plotutil.DarkColors)], vg.Points(1.5), dashes
		points.Color, points.Shape, points.Radius = line.Color, plotutil.Shape(i), vg.Points(3)
		p.Add(line, points)
		p.Legend.Add(l.Name, line, points)
		return nil
	}
	for i, l := range k.Layouts {
		if err := draw(i, l, nil); err != nil {
			return nil, err
		}
	}
	for i, l := range k.Baselines {
		name := l
		name.Name = "pasted, " + l.Name
		if err := draw(len(k.Layouts)+i, name, []vg.Length{vg.Points(5), vg.Points(3)}); err != nil {
			return nil, err
		}
	}
	p.Y.Max *= 1 + 0.06*float64(len(k.Layouts)+len(k.Baselines)) // room for the legend
	return p, nil
}

// everyTurn marks whole numbers.
func everyTurn(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for turn := int(least); float64(turn) <= most; turn++ {
		if float64(turn) >= least {
			ticks = append(ticks, plot.Tick{Value: float64(turn), Label: strconv.Itoa(turn)})
		}
	}
	return ticks
}
