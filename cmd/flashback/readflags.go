package main

import (
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/corpus/charset"
	"github.com/flashback-lm/flashback/internal/folder"
)

// readFlags are the flags about what is read of documents, and how.
type readFlags struct {
	fields    corpus.Fields
	delimiter string
	folder    folder.Options
}

// add gives the command the flags.
func (f *readFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVar(&f.folder.Include, "include", nil, "of folders, read only files that this `GLOB` names, such as *.md or manuals/** (repeatable)")
	fs.StringArrayVar(&f.folder.Exclude, "exclude", nil, "of folders, leave out what this `GLOB` names (repeatable)")
	fs.BoolVar(&f.folder.NoIgnore, "no-ignore", false, "read what .gitignore, .ignore and git's own lists name, too")
	fs.StringVar(&f.fields.Encoding, "encoding", "", "how all text is written, such as windows-1252 or shift_jis (default: found out for each file)")
	fs.StringVar(&f.fields.Text, "text-field", corpus.DefaultFields.Text, "the field of a record that holds its text")
	fs.StringVar(&f.fields.Title, "title-field", corpus.DefaultFields.Title, "the field that holds its title")
	fs.StringVar(&f.fields.ID, "id-field", corpus.DefaultFields.ID, "the field that holds its id")
	fs.StringVar(&f.delimiter, "delimiter", "", "what stands between the columns of .csv and .tsv (default: found out for each file)")
}

// given reports whether the command was given one of the flags.
func (f *readFlags) given(cmd *cobra.Command) bool {
	var mine readFlags
	named := &cobra.Command{}
	mine.add(named)
	any := false
	named.Flags().VisitAll(func(flag *pflag.Flag) { any = any || cmd.Flags().Changed(flag.Name) })
	return any
}

// options returns what the flags say, or a usage error.
func (f *readFlags) options() (corpus.Options, error) {
	o := corpus.Options{Fields: f.fields, Folder: f.folder}
	if f.fields.Encoding != "" {
		if _, err := charset.Lookup(f.fields.Encoding); err != nil {
			return o, usagef("--encoding: %w", err)
		}
	}
	if f.delimiter == `\t` {
		f.delimiter = "\t"
	}
	if f.delimiter != "" {
		r, size := utf8.DecodeRuneInString(f.delimiter)
		if size != len(f.delimiter) || r == utf8.RuneError || r == '"' || r == '\n' || r == '\r' {
			return o, usagef("--delimiter %q: give one character, such as ';' or '\\t'", f.delimiter)
		}
		o.Fields.Delimiter = r
	}
	if err := f.folder.Check(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}
