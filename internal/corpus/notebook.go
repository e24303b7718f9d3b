package corpus

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// parseNotebook reads a Jupyter notebook: its text, its code within fences, and what
// the code put out as text.
func parseNotebook(f file) (Document, error) {
	var notebook struct {
		Cells      []cell
		Worksheets []struct{ Cells []cell } // of format 3
		Metadata   struct {
			Title string
			Spec  struct{ Language string } `json:"kernelspec"`
			Info  struct{ Name string }     `json:"language_info"`
		}
	}
	text, err := f.text()
	if text.Text == "" && err != nil {
		return Document{}, err
	}
	if err := json.Unmarshal([]byte(text.Text), &notebook); err != nil {
		return Document{}, fmt.Errorf("not a notebook: %w", err)
	}
	doc := Document{Title: oneLine(notebook.Metadata.Title), Encoding: text.Encoding}
	language := notebook.Metadata.Info.Name
	if language == "" {
		language = notebook.Metadata.Spec.Language
	}
	cells := notebook.Cells
	for _, w := range notebook.Worksheets {
		cells = append(cells, w.Cells...)
	}
	var b strings.Builder
	write := func(s string) {
		if s = strings.Trim(s, "\n"); strings.TrimSpace(s) != "" {
			if b.Len() > 0 {
				b.WriteString("\n\n")
			}
			b.WriteString(s)
		}
	}
	for _, c := range cells {
		switch c.Kind {
		case "code":
			source := c.Source + c.Input
			if strings.TrimSpace(string(source)) != "" {
				write(fenced(language, string(source)))
			}
			for _, o := range c.Outputs {
				write(o.text())
			}
		case "heading":
			write(strings.Repeat("#", min(max(c.Level, 1), 6)) + " " + oneLine(string(c.Source)))
		default:
			write(withoutData(markdownText(string(c.Source))))
		}
	}
	doc.Text = strings.ToValidUTF8(b.String(), "\ufffd")
	return doc, err
}

// cell is one of a notebook.
type cell struct {
	Kind    string `json:"cell_type"`
	Source  joined
	Input   joined
	Level   int
	Outputs []output
}

// joined is text that a notebook has as a string or as a list of lines.
type joined string

func (j *joined) UnmarshalJSON(data []byte) error {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		*j = joined(strings.Join(lines, ""))
		return nil
	}
	var s string
	if json.Unmarshal(data, &s) == nil {
		*j = joined(s)
	}
	return nil // pictures and objects are not read
}

// output is what a cell put out.
type output struct {
	Kind  string `json:"output_type"`
	Text  joined
	Data  map[string]joined
	Name  string `json:"ename"`
	Value string `json:"evalue"`
}

// maxOutput bounds what is read of an output, which may be a log.
const maxOutput = 20_000

var terminalCodes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

func (o output) text() string {
	var s string
	switch {
	case o.Kind == "error":
		s = o.Name + ": " + o.Value
	case o.Data["text/markdown"] != "":
		s = withoutData(string(o.Data["text/markdown"]))
	default:
		s = string(o.Text + o.Data["text/plain"])
	}
	s = terminalCodes.ReplaceAllString(s, "")
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "<") && strings.HasSuffix(t, ">") && !strings.Contains(t, "\n") {
		return "" // such as <Figure size 640x480 with 1 Axes>
	}
	if len(s) > maxOutput {
		s = s[:maxOutput] + " …"
	}
	if strings.HasPrefix(s, "#") || strings.Contains(s, "\n#") {
		s = fenced("", s)
	}
	return s
}

// fenced writes code so that its comments are no headings.
func fenced(language, code string) string {
	fence := "```"
	for strings.Contains(code, fence) {
		fence += "`"
	}
	return fence + language + "\n" + strings.Trim(code, "\n") + "\n" + fence
}

var dataURL = regexp.MustCompile(`data:[\w.+/-]+;base64,[A-Za-z0-9+/=]+`)

// withoutData drops pictures that stand in a text as base64.
func withoutData(text string) string {
	if !strings.Contains(text, ";base64,") {
		return text
	}
	return dataURL.ReplaceAllString(text, "")
}
