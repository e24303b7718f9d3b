package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// PaperResult is a table of the paper for one model and one domain.
type PaperResult struct {
	Model, Domain string // Domain is one of Domains
	Rows          []PaperRow
	Published     *Published // nil: none is known of this model
	Result        Result     // of Rows, in their order
	Left          []PaperRow // that were not scored, for want of their adapters
	Commands      []string   // that make those
}

// published returns what was published of a row, or NaN.
func (r PaperResult) published(row PaperRow) float64 {
	domain, err := ParseDomain(r.Domain)
	if r.Published == nil || err != nil {
		return math.NaN()
	}
	if figures := r.Published.Rows[row.Name]; figures != nil {
		return figures[domain]
	}
	return math.NaN()
}

// Markdown writes the table as the paper has it, a line a setting, then ours, the
// differences, and how the rows that are missing are made.
func (r PaperResult) Markdown(w io.Writer) error {
	var b strings.Builder
	switch {
	case len(r.Rows) == 0:
		b.WriteString("No row has its adapter.\n")
	case r.Result.Windows == 0:
		b.WriteString("No window is complete for every row.\n")
	default:
		r.table(&b)
		r.Result.differences(&b)
	}
	r.left(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r PaperResult) table(b *strings.Builder) {
	fmt.Fprintf(b, "%s on %s: %d windows, %d tokens, %d words.\n\n", r.Model, r.Domain, r.Result.Windows, r.Result.Rows[0].Tokens, r.Result.Rows[0].Words)
	head, line := "| setting | row | perplexity by token | 95 % interval | by word |", "|---|---|---:|---:|---:|"
	if r.Published != nil {
		head, line = head+" published for "+r.Published.Model+" |", line+"---:|"
	}
	b.WriteString(head + "\n" + line + "\n")
	for i, row := range r.Rows {
		setting := row.Setting
		if row.Ours {
			setting = "*ours:* " + setting
		}
		e := r.Result.Rows[i].Token
		fmt.Fprintf(b, "| %s | %s | %s | %s – %s | %s |", setting, row.Row, figure(e.Value), figure(e.Low), figure(e.High), figure(r.Result.Rows[i].Word.Value))
		if r.Published != nil {
			fmt.Fprintf(b, " %s |", figure(r.published(row)))
		}
		b.WriteString("\n")
	}
	if r.Published != nil {
		fmt.Fprintf(b, "\nPublished: %s, on other windows of other text (docs/reproduce.md).\n", PublishedSource)
	}
}

func (r PaperResult) left(b *strings.Builder) {
	if len(r.Left) == 0 {
		return
	}
	var names []string
	for _, row := range r.Left {
		names = append(names, row.Name)
	}
	fmt.Fprintf(b, "\nLeft out, for want of adapters: %s.\nThe paper's recipe makes them, and --adapter NAME=DIR gives them:\n\n", strings.Join(names, ", "))
	for _, c := range r.Commands {
		fmt.Fprintf(b, "    %s\n", c)
	}
}

// JSON writes the result as one object.
func (r PaperResult) JSON(w io.Writer) error {
	type estimate struct {
		Value float64 `json:"value"`
		Low   float64 `json:"low"`
		High  float64 `json:"high"`
	}
	type row struct {
		Name      string    `json:"name"`
		Setting   string    `json:"setting"`
		Row       string    `json:"row"`
		Ours      bool      `json:"ours"`
		Tokens    int       `json:"tokens"`
		Words     int       `json:"words"`
		Token     estimate  `json:"perplexity_by_token"`
		Word      *estimate `json:"perplexity_by_word,omitempty"` // none of a text without words
		Published float64   `json:"published,omitempty"`
	}
	type difference struct {
		Row     string   `json:"row"`
		Against string   `json:"against"`
		By      estimate `json:"relative"`
		Lower   int      `json:"lower_in"`
	}
	out := struct {
		Model       string       `json:"model"`
		Domain      string       `json:"domain"`
		Windows     int          `json:"windows"`
		Rows        []row        `json:"rows"`
		Differences []difference `json:"differences"`
		Left        []string     `json:"left_out"` // rows without their adapters
		Commands    []string     `json:"commands"` // that make those
	}{r.Model, r.Domain, r.Result.Windows, []row{}, []difference{}, []string{}, slices.Concat([]string{}, r.Commands)}
	for i, s := range r.Result.Rows {
		of := row{Name: r.Rows[i].Name, Setting: r.Rows[i].Setting, Row: s.Row.String(), Ours: r.Rows[i].Ours, Tokens: s.Tokens, Words: s.Words, Token: estimate(s.Token)}
		if s.Words > 0 && !math.IsInf(s.Word.High, 0) {
			word := estimate(s.Word)
			of.Word = &word
		}
		if p := r.published(r.Rows[i]); !math.IsNaN(p) {
			of.Published = p
		}
		out.Rows = append(out.Rows, of)
	}
	for _, d := range r.Result.Differences {
		out.Differences = append(out.Differences, difference{d.A.String(), d.B.String(), estimate(d.Relative), d.Lower})
	}
	for _, l := range r.Left {
		out.Left = append(out.Left, l.Name)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}
