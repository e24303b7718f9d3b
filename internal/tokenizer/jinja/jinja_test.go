package jinja

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fixture is what tools/reference/tokenizer.py rendered with Jinja2; a text that is nil is an error there.
type fixture struct {
	Variables map[string]json.RawMessage
	Snippets  []struct {
		Source string
		Text   *string
	}
	Templates map[string]string
	Cases     []struct {
		Template string
		Messages []struct{ Role, Content string }
		Prompt   bool
		Text     *string
	}
}

func readFixture(t testing.TB) (f fixture) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "chat.json"))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// checkRender renders source and compares with want; nil stands for an error.
func checkRender(t *testing.T, source string, variables map[string]any, want *string) {
	t.Helper()
	template, err := Parse(source)
	got := ""
	if err == nil {
		got, err = template.Render(variables)
	}
	switch {
	case err != nil && want != nil:
		t.Errorf("%s\nfails: %v\nwant %q", source, err, *want)
	case err == nil && want == nil:
		t.Errorf("%s\ngot %q, want an error", source, got)
	case err == nil && got != *want:
		t.Errorf("%s\ngot  %q\nwant %q", source, got, *want)
	}
}

func conversation(messages []struct{ Role, Content string }) (list []any) {
	for _, m := range messages {
		list = append(list, NewDict("role", m.Role, "content", m.Content))
	}
	return list
}

func TestMain(m *testing.M) {
	Now = func() time.Time { return time.Date(2024, 7, 6, 8, 9, 5, 0, time.UTC) } // as in the fixture's script
	m.Run()
}

func TestSnippets(t *testing.T) {
	f := readFixture(t)
	var messages []struct{ Role, Content string }
	if err := json.Unmarshal(f.Variables["messages"], &messages); err != nil {
		t.Fatal(err)
	}
	variables := map[string]any{"messages": conversation(messages), "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "tools": nil}
	for _, s := range f.Snippets {
		checkRender(t, s.Source, variables, s.Text)
	}
}

func TestTemplates(t *testing.T) {
	f := readFixture(t)
	for _, c := range f.Cases {
		checkRender(t, f.Templates[c.Template], map[string]any{
			"messages": conversation(c.Messages), "add_generation_prompt": c.Prompt, "tools": nil, "documents": nil,
			"bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
		}, c.Text)
	}
}

// TestBounds renders templates that would run forever, or until memory ends.
func TestBounds(t *testing.T) {
	deep := func(open, middle, closing string) string {
		return strings.Repeat(open, 9000) + middle + strings.Repeat(closing, 9000)
	}
	for name, source := range map[string]string{
		"doubling":       `{% set n = namespace(s='a') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}`,
		"doubling list":  `{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}`,
		"tree":           `{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}`,
		"equal trees":    `{% set n = namespace(s=[1], t=[1]) %}{% for i in range(100) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.s == n.t }}`,
		"deep list":      `{% set n = namespace(s=[1]) %}{% for i in range(100000) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s | tojson }}`,
		"loop":           `{% for i in range(100000000000) %}{% endfor %}`,
		"backward loop":  `{% for i in range(0, -9223372036854775807, -1) %}{% endfor %}`,
		"nested loops":   strings.Repeat(`{% for i in range(100) %}`, 20) + strings.Repeat(`{% endfor %}`, 20),
		"repeat":         `{{ 'a' * 9223372036854775807 }}`,
		"repeat more":    `{{ 'abcdefgh' * 2305843009213693953 }}`,
		"replace":        `{% set a = 'a' * 1000000 %}{{ a.replace('a', a) }}`,
		"join":           `{% set a = 'a' * 1000000 %}{{ a.join(range(1000)) }}`,
		"output":         `{% set a = 'a' * 100000 %}{% for i in range(1000) %}{{ a }}{% endfor %}`,
		"captured":       `{% set a = 'a' * 100000 %}{% set b %}{% for i in range(1000) %}{{ a }}{% endfor %}{% endset %}`,
		"search":         `{% set a = 'a' * 10000000 %}{% for i in range(100000) %}{% if 'b' in a %}{% endif %}{% endfor %}`,
		"comparison":     `{% set a = 'a' * 10000000 %}{% set b = 'a' * 10000000 %}{% for i in range(100000) %}{% if a == b %}{% endif %}{% endfor %}`,
		"method":         `{% set a = ' ' * 10000000 %}{% for i in range(100000) %}{{ a.strip() }}{% endfor %}`,
		"characters":     `{% for c in 'a' * 10000000 %}{% endfor %}`,
		"parentheses":    `{{ ` + deep("(", "1", ")") + ` }}`,
		"brackets":       `{{ ` + deep("[", "1", "]") + ` }}`,
		"minus":          `{{ ` + strings.Repeat("- ", 20000) + `1 }}`,
		"not":            `{{ ` + strings.Repeat("not ", 15000) + `1 }}`,
		"conditions":     `{{ ` + strings.Repeat("1 if 0 else ", 5000) + `1 }}`,
		"blocks":         strings.Repeat(`{% if 1 %}`, 6000),
		"elif":           `{% if 0 %}` + strings.Repeat(`{% elif 0 %}`, 5000) + `{% endif %}`,
		"macro":          `{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}`,
		"macros":         `{% macro f(x) %}{{ g(x) }}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}`,
		"macro tree":     `{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}`,
		"caller":         `{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}`,
		"recursive loop": `{% set n = namespace(l=[1]) %}{% for x in n.l recursive %}{{ loop(n.l) }}{% endfor %}`,
		"list repeated":  `{{ [1] * 9223372036854775807 }}`,
		"power":          `{{ 10 ** 1000000000000 }}`,
		"width":          `{{ '%99999999999d' % 1 }}`,
		"precision":      `{{ '%.999999999f' | format(1) }}`,
		"field":          `{{ '{:>999999999}'.format(1) }}`,
		"padding":        `{{ 'a'.center(9223372036854775807) }}`,
		"zeros":          `{{ 'a'.zfill(1000000000000) }}`,
		"indent": `{{ ('a
' * 100000) | indent(100000) }}`,
		"json indent":    `{{ [[[1]]] | tojson(indent=1000000000) }}`,
		"batch":          `{{ [1] | batch(100000000000, 0) | list }}`,
		"slice":          `{{ [1] | slice(100000000000) | list }}`,
		"sort":           `{% set l = ['a' * 100000] * 3000 %}{% for i in range(1000) %}{{ (l | sort)[0][0] }}{% endfor %}`,
		"map":            `{% set l = ['a' * 100000] * 100 %}{% for i in range(100000) %}{{ (l | map('upper') | list)[0][0] }}{% endfor %}`,
		"large template": strings.Repeat("a", maxSource+1),
	} {
		start := time.Now()
		template, err := Parse(source)
		if err == nil {
			_, err = template.Render(nil)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		took := time.Since(start)
		t.Logf("%s: %v in %v", name, err, took)
		if took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	// Long chains are no nesting.
	for _, source := range []string{
		`{{ 1` + strings.Repeat("+1", 20000) + ` }}`,
		`{{ 1` + strings.Repeat(" or 1", 10000) + ` }}`,
		`{{ 'a'` + strings.Repeat("|trim", 10000) + ` }}`,
	} {
		template, err := Parse(source)
		if err == nil {
			_, err = template.Render(nil)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, s := range readFixture(f).Snippets {
		f.Add(s.Source)
	}
	variables := map[string]any{"messages": []any{NewDict("role", "user", "content", "Hi \xff")}, "add_generation_prompt": true}
	f.Fuzz(func(t *testing.T, source string) {
		if template, err := Parse(source); err == nil {
			template.Render(variables)
		}
	})
}

// TestPublished renders published chat templates as transformers does: those in testdata, whose licences let them be passed on,
// and those of the file FLASHBACK_TEMPLATES. tools/reference/chat_templates.py made both.
func TestPublished(t *testing.T) {
	for _, path := range []string{filepath.Join("testdata", "templates.json"), os.Getenv("FLASHBACK_TEMPLATES")} {
		if path == "" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Conversations [][]struct{ Role, Content string }
			Templates     []struct {
				Name, Source string
				Texts        []*string
			}
		}
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(path, err)
		}
		compared, refused := 0, 0
		for _, template := range f.Templates {
			for i, want := range template.Texts {
				checkRender(t, template.Source, map[string]any{
					"messages": conversation(f.Conversations[i/2]), "add_generation_prompt": i%2 == 1, "tools": nil, "documents": nil,
					"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
				}, want)
				if compared++; want == nil {
					refused++
				}
			}
			if t.Failed() {
				t.Errorf("that was %s", template.Name)
				return
			}
		}
		t.Logf("%s: %d templates, %d texts, %d refused there and here", path, len(f.Templates), compared, refused)
	}
}
