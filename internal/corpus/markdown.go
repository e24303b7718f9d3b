package corpus

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseMarkdown reads Markdown. The title is the front matter's, else the first
// heading, else the file's name; front matter and comments are not part of the
// text. Underlined headings become '#' lines.
func parseMarkdown(f file) (Document, error) {
	doc, err := f.text()
	text, first := doc.Text, 1
	if front, body, ok := frontMatter(text); ok {
		doc.Title = frontTitle(front)
		first += strings.Count(text[:len(text)-len(body)], "\n")
		text = body
	}
	doc.Text = withoutData(markdownText(text))
	doc.Places = []Place{{Line: first}}
	return doc, err
}

// frontMatter splits off the block of YAML or TOML, between lines of three dashes or
// pluses, that opens a text. A rule that opens a text is followed by prose, which is
// neither.
func frontMatter(text string) (front, body string, ok bool) {
	first, rest, _ := strings.Cut(text, "\n")
	fence := strings.TrimRight(first, " \t")
	if fence != "---" && fence != "+++" {
		return "", text, false
	}
	for at := 0; at < len(rest); {
		line, _, ended := strings.Cut(rest[at:], "\n")
		next := at + len(line)
		if ended {
			next++
		}
		if l := strings.TrimRight(line, " \t"); l == fence || l == "..." && fence == "---" {
			front = rest[:at]
			return front, rest[next:], fence == "+++" || looksYAML(front)
		}
		if at = next; at > 1<<16 {
			break
		}
	}
	return "", text, false
}

var yamlKey = regexp.MustCompile(`^["']?[\pL_][\pL\pN_ .-]*["']?\s*:(\s|$)`)

// looksYAML reports whether every line of front that is not indented is a key, an
// item or a comment, and a key is one word that begins in lower case, as those of
// site generators do and "Note: …" does not, or the title.
func looksYAML(front string) bool {
	usual := false
	for line := range strings.Lines(front) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "" || line[0] == ' ' || line[0] == '\t' || line[0] == '#' || strings.HasPrefix(line, "- "):
		case !yamlKey.MatchString(line):
			return false
		default:
			key := strings.TrimSpace(line[:strings.IndexByte(line, ':')])
			usual = usual || strings.EqualFold(key, "title") || key[0] >= 'a' && key[0] <= 'z' && !strings.Contains(key, " ")
		}
	}
	return usual || strings.TrimSpace(front) == ""
}

// frontTitle finds the title in YAML, else in a line "title: …" of what is nearly
// that, or "title = …" of TOML.
func frontTitle(front string) string {
	var known map[string]any
	if yaml.Unmarshal([]byte(front), &known) == nil {
		for key, value := range known {
			if title, ok := value.(string); ok && strings.EqualFold(key, "title") {
				return oneLine(title)
			}
		}
	}
	for line := range strings.Lines(front) {
		if len(line) < 5 || !strings.EqualFold(line[:5], "title") {
			continue
		}
		value := strings.TrimSpace(line[5:])
		if value == "" || value[0] != ':' && value[0] != '=' {
			continue
		}
		value = strings.TrimSpace(value[1:])
		if value == "" {
			continue
		}
		if q := value[0]; q == '"' || q == '\'' {
			if end := strings.LastIndexByte(value, q); end > 0 {
				return oneLine(value[1:end])
			}
		}
		value, _, _ = strings.Cut(value, " #")
		return oneLine(value)
	}
	return ""
}

// markdownText leaves comments out, with their line ends kept, and writes underlined
// headings as '#' lines followed by an empty one, so that lines keep their numbers.
func markdownText(text string) string {
	if !strings.Contains(text, "<!--") && !strings.Contains(text, "\n---") && !strings.Contains(text, "\n===") {
		return text
	}
	var out []string
	var fence string
	comment := false
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !comment {
			fence = fenceAfter(fence, line)
		}
		if fence == "" {
			line, comment = withoutComments(line, comment)
		}
		out = append(out, line)
		level := underline(line)
		if fence != "" || level == 0 || i == 0 {
			continue
		}
		if above := strings.TrimSpace(out[i-1]); above != "" && isHeadingText(out[i-1]) && (i == 1 || !isParagraph(out[i-2])) {
			out[i-1], out[i] = strings.Repeat("#", level)+" "+above, ""
		}
	}
	return strings.Join(out, "\n")
}

// fenceAfter returns the fence of the code that goes on after a line, empty for none.
func fenceAfter(fence, line string) string {
	t := strings.TrimLeft(line, " ")
	if len(line)-len(t) > 3 {
		return fence
	}
	if fence != "" {
		if strings.HasPrefix(t, fence) && strings.Trim(t, fence[:1]+" \t\r\n") == "" {
			return ""
		}
		return fence
	}
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(t, mark) {
			return t[:len(t)-len(strings.TrimLeft(t, mark[:1]))]
		}
	}
	return ""
}

// withoutComments cuts what stands between "<!--" and "-->" from a line; open says
// that a comment goes on.
func withoutComments(line string, open bool) (rest string, stillOpen bool) {
	var b strings.Builder
	for {
		if open {
			_, after, found := strings.Cut(line, "-->")
			if !found {
				return b.String(), true
			}
			line, open = after, false
		}
		before, after, found := strings.Cut(line, "<!--")
		b.WriteString(before)
		if !found {
			return b.String(), false
		}
		line, open = after, true
	}
}

// underline returns the level of the heading that a line of '=' or '-' makes of the
// line above, 0 if it is none.
func underline(line string) int {
	t := strings.TrimRight(line, " \t")
	switch {
	case len(t) < 3:
	case strings.Trim(t, "=") == "":
		return 1
	case strings.Trim(t, "-") == "":
		return 2
	}
	return 0
}

// isHeadingText reports whether a line may be one that is underlined: no list,
// quote, table, code or heading.
func isHeadingText(line string) bool {
	return isParagraph(line) && !strings.HasPrefix(line, "    ") && !strings.Contains(line, "|")
}

// isParagraph reports whether a line is one of running text.
func isParagraph(line string) bool {
	t := strings.TrimSpace(line)
	return t != "" && strings.IndexByte("#>-*+|=<`~", t[0]) < 0 && !numberedItem.MatchString(t)
}

var numberedItem = regexp.MustCompile(`^\d{1,9}[.)] `)

// firstHeading returns the text of the first '#' heading outside code fences.
func firstHeading(text string) string {
	fence := ""
	for line := range strings.Lines(text) {
		if fence = fenceAfter(fence, line); fence != "" {
			continue
		}
		if level, heading := headingLine(line); level > 0 && heading != "" {
			return heading
		}
	}
	return ""
}

// headingLine returns the level and text of a '#' heading; level 0 if it is none.
func headingLine(line string) (level int, text string) {
	rest := strings.TrimLeft(line, "#")
	level = len(line) - len(rest)
	if level == 0 || level > 6 || !strings.HasPrefix(rest, " ") {
		return 0, ""
	}
	rest = strings.TrimSpace(rest)
	if closed := strings.TrimRight(rest, "#"); closed == "" || strings.HasSuffix(closed, " ") {
		rest = strings.TrimSpace(closed)
	}
	return level, rest
}
