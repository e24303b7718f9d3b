package eval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/placement"
)

// PaperRow is a row of the tables of the FlashBack paper (arXiv 2405.04065), or one that
// we put beside them.
type PaperRow struct {
	Name    string   // by which it is chosen
	Setting string   // as tables show it
	Ours    bool     // whether the paper has no such row
	Row     Row      // what is scored; its adapter has the name that it is given by
	Trained []string // flags of train, behind those of the paper's recipe, that make the adapter of its name
}

// paperRow is a PaperRow whose row is still text.
type paperRow struct {
	name, setting string
	ours          bool
	row           string
	trained       []string
}

// paperRows are in the order of the paper's tables, ours behind them. An adapter that is
// of several rows is made for the one of its name.
var paperRows = []paperRow{
	{"none", "no retrieval", false, "none", nil},
	{"prepend", "prepend", false, "prepend", nil},
	{"prepend-lora", "prepend + LoRA", false, "prepend:adapter=prepend-lora", []string{"--placement prepend", "--marks=false"}},
	{"append", "append, no tuning", false, "append", nil},
	{"append-lora", "append + LoRA", false, "append:adapter=append-lora", []string{"--marks=false"}},
	{"flashback", "FlashBack (append + LoRA + marks)", false, "append:adapter=flashback", []string{}},
	{"none-lora", "LoRA without retrieval", true, "none:adapter=none-lora", []string{"--placement none", "--marks=false"}},
	{"prepend-random", "prepend, random passages", true, "prepend:random", nil},
	{"flashback-random", "FlashBack, random passages", true, "append:random:adapter=flashback", nil},
	{"prepend-best", "prepend, the best of ten passages", true, "prepend:best=10", nil},
	{"flashback-best", "FlashBack, the best of ten passages", true, "append:best=10:adapter=flashback", nil},
	{"virtual", "virtual", true, "virtual", nil},
	{"virtual-lora", "virtual + LoRA", true, "virtual:adapter=virtual-lora", []string{"--placement virtual", "--marks=false"}},
}

// PaperRows returns the rows for a model: those of paperRows, and where positions are
// learned one more, whose text starts at the reserve as virtual's does.
func PaperRows(c model.Config, reserve int) []PaperRow {
	all := paperRows
	if c.Positions > 0 {
		all = append(slices.Clone(all), paperRow{"none-reserve", "no retrieval, text behind the reserve", true, fmt.Sprintf("none:reserve=%d", reserve), nil})
	}
	var rows []PaperRow
	for _, r := range all {
		row, err := ParseRow(r.row, -1)
		if err != nil {
			panic(err) // the rows above parse, a test sees to it
		}
		p := PaperRow{Name: r.name, Setting: r.setting, Ours: r.ours, Row: row}
		if r.trained != nil {
			p.Trained = append(slices.Clone(r.trained), paperTargets(c)...)
		}
		rows = append(rows, p)
	}
	return rows
}

// paperTargets are the projections where the paper's are not q and v: those of GPT-2 have
// other names, and the output projections are among them.
func paperTargets(c model.Config) []string {
	if c.Family == "gpt2" {
		return []string{"--targets c_attn,c_proj"}
	}
	return nil
}

// ChoosePaperRows returns the rows of these names, in the table's order; of none, all.
func ChoosePaperRows(rows []PaperRow, names []string) ([]PaperRow, error) {
	if len(names) == 0 {
		return rows, nil
	}
	var known []string
	for _, r := range rows {
		known = append(known, r.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown row %q: use some of %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r PaperRow) bool { return !slices.Contains(names, r.Name) }), nil
}

// CheckAdapter refuses an adapter that says that it was trained for another layout than
// that of the row which it is made for. PEFT's own files say nothing of it.
func (r PaperRow) CheckAdapter(info lora.Info) error {
	p := r.Row.Placement
	if marks := r.Name == "flashback"; info.Marks != nil && !marks || info.Marks == nil && marks {
		return fmt.Errorf("the adapter of row %s is to have %s Marking Tokens, and this one has %s", r.Name, twoOrNo(marks), twoOrNo(info.Marks != nil))
	}
	switch {
	case info.Placement == "":
		return nil
	case info.Placement != p.Name:
		return fmt.Errorf("the adapter of row %s is to be trained for placement %s, and this one was for %s", r.Name, p.Name, info.Placement)
	case int(info.Echo) != p.Echo:
		return fmt.Errorf("the adapter of row %s is to be trained with an echo of %s, and this one was with %s", r.Name, placement.Echo(p.Echo), info.Echo)
	}
	return nil
}

func twoOrNo(marks bool) string {
	if marks {
		return "two"
	}
	return "no"
}

// PaperPairs are the differences worth knowing: each row with that without retrieval which
// was tuned as it was, since tuning to a domain gains more than passages do.
func PaperPairs(rows []PaperRow) []Pair {
	find := func(name string) (Row, bool) {
		i := slices.IndexFunc(rows, func(r PaperRow) bool { return r.Name == name })
		if i < 0 {
			return Row{}, false
		}
		return rows[i].Row, true
	}
	var pairs []Pair
	for _, r := range rows {
		against := "none"
		if r.Row.Adapter != "" && r.Name != "none-lora" {
			against = "none-lora"
		}
		if other, ok := find(against); ok && r.Name != against {
			pairs = append(pairs, Pair{r.Row, other})
		}
	}
	return pairs
}
