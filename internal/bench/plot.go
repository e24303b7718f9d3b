package bench

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

// Plot draws ms a token against context length, a curve for each kind of row, to
// a file of the type that its name ends in: .png, .svg or .pdf. A peer's curves
// are dashed, in the colour of the row that they compare with. Both axes are
// logarithmic, as the curves differ by more than an order of magnitude.
func Plot(file, title string, rows []Row) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "context, tokens", "ms a token"
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(8), vg.Points(6), vg.Points(6)
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	named := 0
	for i, c := range curves(rows) {
		named++
		line, points, err := plotter.NewLinePoints(c.ours)
		if err != nil {
			return err
		}
		line.Color, line.Width = plotutil.Color(i), vg.Points(1.5)
		points.Color, points.Shape, points.Radius = line.Color, plotutil.Shape(i), vg.Points(3)
		p.Add(line, points)
		p.Legend.Add(c.name, line, points)
		if c.peer == nil {
			continue
		}
		named++
		dashed, err := plotter.NewLine(c.peer)
		if err != nil {
			return err
		}
		dashed.LineStyle = draw.LineStyle{Color: line.Color, Width: vg.Points(1.5), Dashes: []vg.Length{vg.Points(5), vg.Points(3)}}
		p.Add(dashed)
		p.Legend.Add(c.peerName, dashed)
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = lengths(rows), plot.TickerFunc(decades)
	// The legend stands above the curves: each of its lines takes its share of the
	// height.
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding, p.Legend.ThumbnailWidth = vg.Points(2), vg.Points(28)
	share := min(0.05*float64(named), 0.6)
	p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, share/(1-share))
	return p.Save(8*vg.Inch, 5.5*vg.Inch, file)
}

// curve is one kind of row over the lengths.
type curve struct {
	name, peerName string
	ours, peer     plotter.XYs
}

func curves(rows []Row) []*curve {
	var all []*curve
	byName := map[string]*curve{}
	for _, r := range rows {
		name := r.Name()
		if r.Passages > 1 {
			name += ", " + strconv.Itoa(r.Passages) + " passages"
		}
		c := byName[name]
		if c == nil {
			c = &curve{name: name}
			byName[name] = c
			all = append(all, c)
		}
		c.ours = append(c.ours, plotter.XY{X: float64(r.Context), Y: r.MSPerToken})
		if r.Peer != nil && r.Peer.Placement == r.Placement {
			c.peerName = r.Peer.Name + " " + name
			c.peer = append(c.peer, plotter.XY{X: float64(r.Context), Y: r.Peer.MSPerToken})
		}
	}
	return all
}

// lengths marks the measured context lengths.
func lengths(rows []Row) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for i, r := range rows {
		if i == 0 || r.Context != rows[i-1].Context {
			ticks = append(ticks, plot.Tick{Value: float64(r.Context), Label: strconv.Itoa(r.Context)})
		}
	}
	return ticks
}

// decades marks 1, 2 and 5 times the powers of ten.
func decades(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(least)); e <= math.Log10(most); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= least && v <= most {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
			}
		}
	}
	return ticks
}
