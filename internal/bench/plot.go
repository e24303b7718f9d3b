package bench

import (
	"image/color"
	"maps"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/flashback-lm/flashback/internal/placement"
	"github.com/flashback-lm/flashback/internal/plots"
)

// Plot draws panels to a file of the type that its name ends in, .png, .svg or .pdf: ms a
// token, how many times as fast as prepend that is where it was measured, and the memory of
// keys and values. They grow with the context, or with the passages where only these differ;
// a curve is a kind of row. A peer's curves are dashed, in the colour of the row that they compare with. All axes are
// logarithmic, as the curves differ by more than an order of magnitude.
func Plot(file, title string, rows []Row) error {
	all, x := curves(rows)
	times, err := panel(x, "ms a token", all, func(c *curve) (ours, peer plotter.XYs) { return c.ms, c.peer })
	if err != nil {
		return err
	}
	memory, err := panel(x, "keys and values of a stride, MiB", all, func(c *curve) (ours, peer plotter.XYs) { return c.memory, nil })
	if err != nil {
		return err
	}
	times.Title.Text = title
	// The curves are named once, above those of the first panel: each line of the
	// legend takes its share of the height.
	memory.Legend = plot.NewLegend()
	share := min(0.06*float64(names(all)), 0.6)
	times.Y.Max *= math.Pow(times.Y.Max/times.Y.Min, share/(1-share))
	panels := []*plot.Plot{times, memory}
	if slices.ContainsFunc(all, func(c *curve) bool { return len(c.ratio) > 0 }) {
		ratios, err := ratioPanel(x, all)
		if err != nil {
			return err
		}
		panels = slices.Insert(panels, 1, ratios)
	}
	return plots.SideBySide(file, panels...)
}

// paperRatio is the most that the paper gains over prepending, with Llama-2-7B on a card.
const paperRatio = 4

// ratioPanel draws how many times as fast as prepend the others are, beside the paper's figure.
func ratioPanel(x axis, all []*curve) (*plot.Plot, error) {
	p, err := panel(x, "times as fast as prepend", all, func(c *curve) (ours, peer plotter.XYs) { return c.ratio, nil })
	if err != nil {
		return nil, err
	}
	paper, err := plotter.NewLine(plotter.XYs{{X: p.X.Min, Y: paperRatio}, {X: p.X.Max, Y: paperRatio}})
	if err != nil {
		return nil, err
	}
	paper.LineStyle = draw.LineStyle{Color: color.Gray{96}, Width: vg.Points(1), Dashes: []vg.Length{vg.Points(2), vg.Points(3)}}
	p.Add(paper)
	p.Legend = corner()
	p.Legend.Add("at most, in the paper", paper)
	p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, 0.08)
	return p, nil
}

// axis is what the curves grow with.
type axis struct {
	label string
	of    func(Row) int
	ticks plot.ConstantTicks
}

// corner returns a legend at the top on the left.
func corner() plot.Legend {
	l := plot.NewLegend()
	l.Top, l.Left = true, true
	l.Padding, l.ThumbnailWidth = vg.Points(2), vg.Points(28)
	return l
}

// panel draws one quantity of the curves.
func panel(x axis, label string, all []*curve, values func(*curve) (ours, peer plotter.XYs)) (*plot.Plot, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x.label, label
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(8), vg.Points(6), vg.Points(6)
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = x.ticks, plot.TickerFunc(decades)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	p.Legend = corner()
	for i, c := range all {
		ours, peer := values(c)
		if len(ours) == 0 {
			continue
		}
		line, points, err := plotter.NewLinePoints(ours)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = plotutil.Color(i), vg.Points(1.5)
		points.Color, points.Shape, points.Radius = line.Color, plotutil.Shape(i), vg.Points(3)
		p.Add(line, points)
		p.Legend.Add(c.name, line, points)
		if peer == nil {
			continue
		}
		dashed, err := plotter.NewLine(peer)
		if err != nil {
			return nil, err
		}
		dashed.LineStyle = draw.LineStyle{Color: line.Color, Width: vg.Points(1.5), Dashes: []vg.Length{vg.Points(5), vg.Points(3)}}
		p.Add(dashed)
		p.Legend.Add(c.peerName, dashed)
	}
	// A little room keeps a level curve from having no height at all.
	p.Y.Min, p.Y.Max = p.Y.Min/1.1, p.Y.Max*1.1
	return p, nil
}

// curve is one kind of row along the axis.
type curve struct {
	name, peerName          string
	ms, peer, memory, ratio plotter.XYs
}

// curves returns the curves of the rows and what they grow with. A row without
// evidence stands at every number of passages.
func curves(rows []Row) ([]*curve, axis) {
	contexts, passages := map[int]bool{}, map[int]bool{}
	for _, r := range rows {
		contexts[r.Context] = true
		if r.Passages > 0 {
			passages[r.Passages] = true
		}
	}
	x := axis{label: "context, tokens", of: func(r Row) int { return r.Context }}
	along := contexts
	if len(contexts) == 1 && len(passages) > 1 {
		x = axis{label: "passages", of: func(r Row) int { return r.Passages }}
		along = passages
	}
	for _, value := range slices.Sorted(maps.Keys(along)) {
		x.ticks = append(x.ticks, plot.Tick{Value: float64(value), Label: strconv.Itoa(value)})
	}
	var all []*curve
	byName := map[string]*curve{}
	for _, r := range rows {
		name := r.Name()
		if r.Passages > 1 && len(contexts) > 1 {
			name += ", " + strconv.Itoa(r.Passages) + " passages"
		}
		c := byName[name]
		if c == nil {
			c = &curve{name: name}
			byName[name] = c
			all = append(all, c)
		}
		if x.of(r) > 0 {
			c.add(x.of(r), r)
			continue
		}
		for _, tick := range x.ticks {
			c.add(int(tick.Value), r)
		}
	}
	return all, x
}

// names counts the lines of a legend.
func names(all []*curve) int {
	n := len(all)
	for _, c := range all {
		if c.peer != nil {
			n++
		}
	}
	return n
}

// add adds a row's point.
func (c *curve) add(at int, r Row) {
	x := float64(at)
	c.ms = append(c.ms, plotter.XY{X: x, Y: r.MSPerToken})
	c.memory = append(c.memory, plotter.XY{X: x, Y: float64(r.KVBytes) / (1 << 20)})
	if r.RatioToPrepend > 0 && r.Passages > 0 && r.Placement != placement.Prepend.Name {
		c.ratio = append(c.ratio, plotter.XY{X: x, Y: r.RatioToPrepend})
	}
	if r.Peer != nil && r.Peer.Placement == r.Placement {
		c.peerName = r.Peer.Name + " " + c.name
		c.peer = append(c.peer, plotter.XY{X: x, Y: r.Peer.MSPerToken})
	}
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
