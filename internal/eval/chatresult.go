package eval

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/placement"
)

// ChatResult is what the conversations say that every row has held.
type ChatResult struct {
	Turns int
	Kinds []ChatKind
}

// ChatKind is the conversations of one kind.
type ChatKind struct {
	Changes       bool // each turn has new passages
	Conversations int
	Layouts       []Layout
	Baselines     []Layout
}

// Layout is a row, or a way to paste, in conversations of a kind.
type Layout struct {
	Name     string
	Row      string    // whose answers these are
	Computed []float64 // tokens computed in a turn, on average
	Right    []float64 // percent of the answers of a turn that a right one stands in
	All      float64   // of all turns

	// Of rows only: tokens computed as a multiple of those of each baseline, in the first
	// turn and in all later ones together. Intervals are of a bootstrap over conversations.
	First, Later []Estimate
}

// The pasted rows of conversations: what is left of a turn's passages when it has ended.
var (
	Removed = QARow{Row: Row{Placement: placement.Prepend, K: 1, Sink: -1}, Pasted: true, name: pasted}
	LeftIn  = QARow{Row: Removed.Row, Pasted: true, Left: true, name: pasted + ":" + left}
)

// baseline is a way to paste.
type baseline struct {
	name   string
	row    QARow
	cached bool // the beginning that a prompt shares with a text before it is not computed
}

// baselines are the ways to paste, as tables name them.
var baselines = []baseline{
	{"(i) removed", Removed, false},
	{"(i) left in", LeftIn, false},
	{"(ii)", Removed, true},
	{"(iii)", LeftIn, true},
}

// cost returns the tokens that a way to paste computes for a turn.
func (b baseline) cost(a Answer) float64 {
	cost := a.Prompt + a.Tokens - 1 // the last token is not read
	if b.cached {
		cost -= a.Cached
	}
	return float64(cost)
}

// SummariseChats adds up the conversations that every row, and the pasted ones, have
// held.
func (a *Answers) SummariseChats(rows []QARow, conversations []Conversation) ChatResult {
	result := ChatResult{Turns: len(conversations[0].Turns)}
	for _, changes := range []bool{false, true} {
		k := ChatKind{Changes: changes}
		answers := map[string][][]Answer{} // by row: conversations, turns
		for _, c := range conversations {
			if c.Changes == changes && a.held(append([]QARow{Removed, LeftIn}, rows...), c, answers) {
				k.Conversations++
			}
		}
		if k.Conversations == 0 {
			continue
		}
		var costs [][][]float64 // of each baseline: conversations, turns
		for _, b := range baselines {
			of := answers[b.row.String()]
			costs = append(costs, table(of, b.cost))
			k.Baselines = append(k.Baselines, layout(b.name, b.row, of, b.cost))
		}
		for _, r := range rows {
			of := answers[r.String()]
			computed := func(a Answer) float64 { return float64(a.Computed()) }
			l := layout(r.String(), r, of, computed)
			for i := range baselines {
				own, base := table(of, computed), costs[i]
				l.First = append(l.First, ratio(own, base, 0, 1))
				l.Later = append(l.Later, ratio(own, base, 1, result.Turns))
			}
			k.Layouts = append(k.Layouts, l)
		}
		result.Kinds = append(result.Kinds, k)
	}
	return result
}

// held adds a conversation's answers to those of each row, if every row has all.
func (a *Answers) held(rows []QARow, c Conversation, answers map[string][][]Answer) bool {
	all := make([][]Answer, len(rows))
	for i, r := range rows {
		for n := range c.Turns {
			answer, ok := a.by[answerKey{r.String(), c.turn(n)}]
			if !ok {
				return false
			}
			all[i] = append(all[i], answer)
		}
	}
	for i, r := range rows {
		if slices.ContainsFunc(rows[:i], func(o QARow) bool { return o.String() == r.String() }) {
			continue // a pasted row may be among those that were asked for
		}
		answers[r.String()] = append(answers[r.String()], all[i])
	}
	return true
}

// layout averages over the conversations.
func layout(name string, r QARow, of [][]Answer, cost func(Answer) float64) Layout {
	l := Layout{Name: name, Row: r.String()}
	costs, right := table(of, cost), table(of, func(a Answer) float64 { return percent(a.InAnswer) })
	for turn := range of[0] {
		column := func(t [][]float64) (values []float64) {
			for _, c := range t {
				values = append(values, c[turn])
			}
			return values
		}
		l.Computed, l.Right = append(l.Computed, average(column(costs))), append(l.Right, average(column(right)))
	}
	l.All = average(l.Right)
	return l
}

func table(of [][]Answer, value func(Answer) float64) [][]float64 {
	var all [][]float64
	for _, answers := range of {
		all = append(all, each(answers, value))
	}
	return all
}

// ratio is what the turns from … to-1 of all conversations cost, as a multiple of what
// those of a baseline do.
func ratio(own, base [][]float64, from, to int) Estimate {
	return bootstrap(len(own), func(draw []int) float64 {
		a, b := 0.0, 0.0
		for _, i := range draw {
			for turn := from; turn < to; turn++ {
				a, b = a+own[i][turn], b+base[i][turn]
			}
		}
		return a / b
	})
}
