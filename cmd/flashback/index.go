package main

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// indexFlags are the flags of index.
type indexFlags struct {
	dir     string
	add     bool
	del     []string
	model   string
	chunk   string
	overlap int
	strict  bool
	memory  string
	read    readFlags
	json    bool
	build   bm25.BuildOptions
}

func newIndexCmd() *cobra.Command {
	var f indexFlags
	cmd := &cobra.Command{
		Use:   "index PATH...",
		Short: "Make an index of documents",
		Long: `Index reads documents, cuts them into passages and writes an index of them.

A PATH is a file, a folder with all below it, or - for standard input; there may be
several. In a folder hidden files are left out, and what .gitignore, .ignore and
git's own lists name (--no-ignore reads it); --include and --exclude choose by globs.
Links are followed. What cannot be read is said and counted, and the rest goes on.

Read is all text, and by their endings, each also as .gz and .zst:
` + kindsOfFiles() + `
Passages are cut by the model's tokens along sentences and headings, so that the
model reads each whole; --chunk words:100 needs no model, --chunk none makes one
passage of each document or record. The index replaces the one in DIR at the very
end: until then, and if anything fails, the old one stays.

--add adds to the index, or reads anew what it has of those paths. --delete takes
files, folders and globs out of it, each as typed when they were indexed or as
'flashback list' names them.`,
		Example: `  flashback index ~/notes -o notes.index
  flashback index *.md ~/manuals --exclude drafts -o notes.index
  flashback index wiki.jsonl.zst -o wiki.index --chunk words:100
  flashback index new.md -o notes.index --add
  flashback index -o notes.index --delete old.md --delete 'drafts/**'
  flashback index verify notes.index`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.dir == "":
				return usagef("name the index's directory with -o")
			case len(f.del) > 0 && (len(args) > 0 || f.add):
				return usagef("--delete takes no documents; add them in a second step")
			case len(f.del) > 0:
				return f.deleteSources(cmd)
			case len(args) == 0:
				return usagef("name the documents: a file, a directory or -")
			}
			return f.run(cmd, args)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.add, "add", false, "add to the index instead of replacing it")
	fl.StringArrayVar(&f.del, "delete", nil, "delete what the index has of this `FILE`, folder or glob, or the passage with this id (repeatable)")
	f.register(cmd)
	cmd.AddCommand(newIndexVerifyCmd())
	return cmd
}

// register gives the command the flags of making an index.
func (f *indexFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVarP(&f.dir, "output", "o", "", "the index's directory")
	fl.StringVar(&f.chunk, "chunk", "tokens:128", "size of a passage: tokens:N, words:N or none")
	fl.IntVar(&f.overlap, "overlap", -1, "tokens or words repeated at the next passage's start (default 16 of tokens, 0 of words)")
	fl.StringVar(&f.model, "model", "smollm2-135m", "the model whose tokens are counted")
	fl.BoolVar(&f.strict, "strict", false, "stop at the first file that cannot be read")
	fl.StringVar(&f.build.Analyzer, "analyzer", "", "folding: any language, however it is spelt; english: as the paper's; or unicode (default folding, english with --chunk none)")
	fl.IntVar(&f.build.BreadcrumbWeight, "heading-weight", -1, "how many times the words of title and headings count; 0: the title once, headings not (default 2, 0 with english)")
	fl.BoolVar(&f.build.IndexTitle, "title", true, "find a passage by its document's title too")
	fl.BoolVar(&f.build.ExactLengths, "exact-lengths", false, "score by exact lengths instead of Lucene's one-byte ones")
	fl.StringVar(&f.memory, "memory", "256MB", "about how much memory the build may take")
	fl.IntVar(&f.build.Workers, "threads", 0, "processors to use (default all)")
	fl.BoolVar(&f.json, "json", false, "print what was done as one JSON object")
	f.read.add(cmd)
}

// options returns what the flags say of reading and indexing. With add it is what
// the index was made with, and what the flags do not say of reading is too.
func (f *indexFlags) options(cmd *cobra.Command) (o collection.Options, err error) {
	memory, err := humanize.ParseBytes(f.memory)
	if err != nil || memory < 1<<20 || memory > 1<<50 {
		return o, usagef("--memory %q is no size like 256MB", f.memory)
	}
	f.build.Memory = int64(memory)
	debug.SetMemoryLimit(f.build.Memory)
	if err := f.setDefaults(); err != nil {
		return o, err
	}
	if o.Chunker, err = f.chunker(); err != nil {
		return o, err
	}
	if o.Read, err = f.read.options(); err != nil {
		return o, err
	}
	o.Read.Stdin = cmd.InOrStdin()
	o.Index, o.Strict, o.Kept = f.build, f.strict, f.add && !f.read.given(cmd)
	return o, nil
}

// run builds the index or adds to it.
func (f *indexFlags) run(cmd *cobra.Command, paths []string) error {
	o, err := f.options(cmd)
	if err != nil {
		return err
	}
	if err := checkPaths(paths); err != nil {
		return err
	}
	bar := showReading(cmd, paths, &o.Read)
	defer bar.Finish()
	change := collection.Build
	if f.add {
		change = collection.Update
	}
	start := time.Now()
	report, err := change(cmd.Context(), f.dir, paths, o)
	bar.Finish()
	if cmd.Context().Err() != nil {
		return fmt.Errorf("stopped; %s", asBefore(f.dir))
	}
	if report != nil && (!f.json || err != nil) {
		printReport(cmd.ErrOrStderr(), &report.Read)
	}
	if errors.Is(err, bm25.ErrEmpty) {
		err = nothingToIndex(&report.Read, err)
	}
	if err != nil {
		return err
	}
	done := indexOutcome{Index: f.dir, Passages: report.Index.Passages, Replaced: report.Index.Replaced, Bytes: report.Index.Bytes,
		Seconds: time.Since(start).Seconds(), New: report.New, Changed: report.Changed, Unchanged: report.Unchanged, Report: &report.Read}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), done)
	}
	done.print(cmd.OutOrStdout())
	return nil
}

// asBefore says what a change that was given up leaves.
func asBefore(dir string) string {
	if bm25.IsIndex(dir) {
		return dir + " is as it was before"
	}
	return "nothing was written"
}

// kindsOfFiles lists the kinds that are known by their ending, a line each.
func kindsOfFiles() string {
	var b strings.Builder
	for _, k := range corpus.Kinds() {
		fmt.Fprintf(&b, "  %-26s %s\n", k.Name, strings.Join(k.Extensions, " "))
	}
	return b.String()
}

// nothingToIndex says why there was nothing, of files that were passed over.
func nothingToIndex(r *corpus.Report, err error) error {
	unknown := 0
	for _, n := range r.Unknown {
		unknown += n
	}
	if unknown > 0 && r.Files+r.Empty+r.BadFiles+r.BadRecords == 0 {
		return fmt.Errorf("none of the %s is of a kind that can be read; nothing was indexed", plural(unknown, "file"))
	}
	return err
}

// indexOutcome is what --json prints.
type indexOutcome struct {
	Index     string         `json:"index"`
	Passages  int            `json:"passages"`
	Replaced  int            `json:"replaced"` // older passages
	Bytes     int64          `json:"bytes"`    // of the passages' text
	Seconds   float64        `json:"seconds"`
	New       int            `json:"new"` // files that the index did not have
	Changed   int            `json:"changed"`
	Unchanged int            `json:"unchanged"` // not read again
	Report    *corpus.Report `json:"report"`
}

func (o *indexOutcome) print(out io.Writer) {
	fmt.Fprintf(out, "%s: %s of %s, %s of text in %.1f s", terminal.Line(o.Index), plural(o.Passages, "passage"),
		plural(o.Report.Files, "file"), humanize.Bytes(uint64(o.Bytes)), o.Seconds)
	for _, n := range []struct {
		count int
		what  string
	}{{o.Replaced, "older passages replaced"}, {o.Unchanged, "files as they were"}} {
		if n.count > 0 {
			fmt.Fprintf(out, ", %s %s", humanize.Comma(int64(n.count)), n.what)
		}
	}
	fmt.Fprintln(out)
}

// setDefaults chooses the analyser and the weight of headings where no flag does.
func (f *indexFlags) setDefaults() error {
	if f.build.Analyzer == "" {
		f.build.Analyzer = analysis.Folding
		if f.chunk == string(corpus.Whole) {
			f.build.Analyzer = analysis.English
		}
	}
	if _, err := analysis.New(f.build.Analyzer); err != nil {
		return usageError{err}
	}
	switch weight := &f.build.BreadcrumbWeight; {
	case *weight > 100:
		return usagef("--heading-weight %d: at most 100", *weight)
	case *weight >= 0:
	case f.build.Analyzer == analysis.English:
		*weight = 0
	default:
		*weight = bm25.DefaultBreadcrumbWeight
	}
	return nil
}

// chunker reads the flags about passages, or when adding takes what the index
// was made with, and loads the tokenizer if it is needed.
func (f *indexFlags) chunker() (*corpus.Chunker, error) {
	if f.add {
		index, err := bm25.Open(f.dir, bm25.Options{})
		if err != nil {
			return nil, err
		}
		info := index.Info()
		index.Close()
		if info.Chunking != "" {
			f.chunk, f.overlap = info.Chunking, info.Overlap
		}
		f.build.Tokenizer, f.build.BreadcrumbWeight = info.Tokenizer, info.BreadcrumbWeight
	}
	if f.overlap < 0 {
		f.overlap = 0
		if len(f.chunk) > 0 && f.chunk[0] == 't' {
			f.overlap = 16
		}
	}
	chunking, err := corpus.ParseChunking(f.chunk, f.overlap)
	if err != nil {
		return nil, usageError{err}
	}
	chunking.Breadcrumb = f.build.BreadcrumbWeight > 0
	f.build.Chunking, f.build.Overlap = chunking.String(), chunking.Overlap
	if chunking.Unit != corpus.Tokens {
		return corpus.NewChunker(chunking, nil)
	}
	m, err := hub.Resolve(f.model)
	if err != nil {
		return nil, fmt.Errorf("%w; or cut by words with --chunk words:100", err)
	}
	tok, err := model.LoadTokenizer(m.Path)
	if err != nil {
		return nil, err
	}
	if f.add && f.build.Tokenizer != tok.Digest() {
		return nil, fmt.Errorf("%s was cut with another model's tokens; name that model with --model or index again", f.dir)
	}
	f.build.Tokenizer = tok.Digest()
	return corpus.NewChunker(chunking, tok)
}

// deleteSources deletes by file, folder, glob or id.
func (f *indexFlags) deleteSources(cmd *cobra.Command) error {
	sources, stats, err := collection.Delete(cmd.Context(), f.dir, f.del)
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(cmd.OutOrStdout(), map[string]any{"index": f.dir, "deleted_sources": sources, "deleted_passages": stats.Deleted})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s with %s deleted; 'flashback compact' frees their room\n", terminal.Line(f.dir), plural(sources, "source"), plural(stats.Deleted, "passage"))
	return nil
}

func newIndexVerifyCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "verify DIR",
		Short:   "Check every file of an index",
		Long:    "Verify reads the whole index in DIR, checks every checksum and that its parts agree, and says what is wrong.",
		Example: "  flashback index verify notes.index",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := bm25.Verify(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %s passages in %d segments, %s deleted\n", args[0],
				humanize.Comma(int64(info.Passages)), info.Segments, humanize.Comma(int64(info.Deleted)))
			return nil
		},
	}
}
