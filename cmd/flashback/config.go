package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// config lets the flags of a command be set by a file and by variables too. What the
// command line says is stronger than a variable, and that than the file; the names are
// the same everywhere: max-queue, FLASHBACK_MAX_QUEUE, --max-queue.
type config struct {
	file  string
	print bool
	from  map[string]string // where the value of a flag is from; none: it is the default
}

// What the flags are called that say how others are set.
const (
	configFlag      = "config"
	printConfigFlag = "print-config"
)

// add gives the command the flags.
func (c *config) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.file, configFlag, "", "a `FILE` in YAML that sets other flags by their names; FLASHBACK_NAME in the environment is stronger, the command line strongest")
	cmd.Flags().BoolVar(&c.print, printConfigFlag, false, "print what all flags are set to, and by what, as a file for --config, and end")
}

// maxConfig bounds the file.
const maxConfig = 1 << 20

// read sets the flags that the command line does not.
func (c *config) read(fs *pflag.FlagSet, variable func(string) string) error {
	c.from = map[string]string{}
	fs.Visit(func(f *pflag.Flag) { c.from[f.Name] = "--" + f.Name })
	var failed error
	fs.VisitAll(func(f *pflag.Flag) {
		name := "FLASHBACK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := variable(name)
		if value == "" || !configured(f) && f.Name != configFlag || failed != nil {
			return
		}
		values := []string{value}
		if _, several := f.Value.(pflag.SliceValue); several {
			values = strings.Split(value, ",")
		}
		if err := c.set(fs, f, name, values); err != nil {
			failed = usagef("%s: %w", name, err)
		}
	})
	if failed != nil || c.file == "" {
		return failed
	}
	return c.readFile(fs)
}

// configured reports whether a flag may be set elsewhere than on the command line.
func configured(f *pflag.Flag) bool {
	return f.Name != configFlag && f.Name != printConfigFlag && f.Name != "help"
}

// set sets a flag that nothing stronger has set.
func (c *config) set(fs *pflag.FlagSet, f *pflag.Flag, from string, values []string) error {
	if c.from[f.Name] != "" {
		return nil
	}
	c.from[f.Name] = from
	if several, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return several.Replace(values)
	}
	if len(values) != 1 {
		return errors.New("takes one value")
	}
	return fs.Set(f.Name, values[0])
}

// readFile sets what the file says; errors name the line.
func (c *config) readFile(fs *pflag.FlagSet) error {
	file, err := os.Open(c.file)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	if len(data) > maxConfig {
		return usagef("the configuration %s is larger than %d MiB", c.file, maxConfig>>20)
	}
	return c.parse(fs, data)
}

// parse sets what the text of a file says.
func (c *config) parse(fs *pflag.FlagSet, data []byte) error {
	at := func(n *yaml.Node, err error) error { return usagef("%s:%d: %w", c.file, n.Line, err) }
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return usagef("%s: %w", c.file, err)
	}
	if document.Kind == 0 {
		return nil // it is empty
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		return at(top, errors.New("give lines of the form 'name: value'"))
	}
	seen := map[string]bool{}
	for i := 0; i < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		f := fs.Lookup(key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || f == nil || !configured(f):
			return at(key, fmt.Errorf("there is no %q; the names are those of the flags, without --", key.Value))
		case seen[f.Name]:
			return at(key, fmt.Errorf("%s is set twice", f.Name))
		}
		seen[f.Name] = true
		values, err := valuesOf(value)
		if err == nil {
			err = c.set(fs, f, fmt.Sprintf("%s:%d", c.file, key.Line), values)
		}
		if err != nil {
			return at(value, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	return nil
}

// valuesOf returns a value, or those of a list.
func valuesOf(n *yaml.Node) ([]string, error) {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	values := []string{}
	for _, v := range list {
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			return nil, errors.New("give a value, or a list of them")
		}
		values = append(values, v.Value)
	}
	return values, nil
}

// show returns what all flags are set to as a file that sets them so. Passwords in URLs
// are masked.
func (c *config) show(fs *pflag.FlagSet) (string, error) {
	top := &yaml.Node{Kind: yaml.MappingNode}
	scalar := func(f *pflag.Flag, s string) *yaml.Node {
		n := &yaml.Node{Kind: yaml.ScalarNode, Value: mask(s)}
		if t := f.Value.Type(); t != "bool" && !strings.HasPrefix(t, "int") {
			n.Tag = "!!str"
		}
		return n
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if !configured(f) {
			return
		}
		from := c.from[f.Name]
		if from == "" {
			from = "default"
		}
		value := scalar(f, f.Value.String())
		if several, ok := f.Value.(pflag.SliceValue); ok {
			value = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
			for _, s := range several.GetSlice() {
				value.Content = append(value.Content, scalar(f, s))
			}
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: f.Name, HeadComment: from}
		top.Content = append(top.Content, key, value)
	})
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	err := encoder.Encode(top)
	return out.String(), errors.Join(err, encoder.Close())
}

// mask hides the password of a URL.
func mask(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil {
		return u.Redacted()
	}
	return s
}
