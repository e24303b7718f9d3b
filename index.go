package flashback

import (
	"context"
	"errors"
	"iter"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/folder"
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/model"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25/analysis"
)

// Document is one text to be indexed.
type Document = corpus.Document

// ReadDocuments yields the documents of a file or of a folder with all below it:
// text, Markdown, HTML, PDF, DOCX and records in JSON lines or CSV. A file that
// cannot be read, or has nothing to be read, is an error, and the rest follows; an
// index among them is left out.
func ReadDocuments(path string) iter.Seq2[Document, error] {
	return corpus.Read(context.Background(), path, corpus.Options{Folder: folder.Options{Skip: bm25.IsIndex}})
}

// IndexOptions say how an index is built; the zero value is a good default.
type IndexOptions struct {
	// Model is whose tokens passages are measured in; "" is DefaultModel.
	Model string
	// Paper makes the paper's index, for its measurements: English as Lucene analyses
	// it, and titles before the first passage of a document only. Else any language is
	// found however it is spelt, and every passage knows its title and headings.
	Paper bool
	// Skipped hears of each document that could not be read or has no text; the
	// others are indexed. If it is nil, the first that could not be read ends the build.
	Skipped func(error)
	// Progress hears now and then how many passages and bytes of text were read.
	Progress func(passages int, bytes int64)
}

// BuildIndex cuts documents into passages of up to 128 tokens, along sentences and
// headings, and makes an index of them in the directory dir, in place of the one
// there. The index changes at the very end: if anything fails, the old one stays.
// It returns the number of passages.
func BuildIndex(ctx context.Context, dir string, docs iter.Seq2[Document, error], o IndexOptions) (int, error) {
	if o.Model == "" {
		o.Model = DefaultModel
	}
	found, err := hub.Resolve(o.Model)
	if err != nil {
		return 0, err
	}
	tokenizer, err := model.LoadTokenizer(found.Path)
	if err != nil {
		return 0, err
	}
	build := bm25.BuildOptions{Analyzer: analysis.Folding, BreadcrumbWeight: bm25.DefaultBreadcrumbWeight}
	if o.Paper {
		build = bm25.BuildOptions{Analyzer: analysis.English, IndexTitle: true}
	}
	chunking := corpus.Chunking{Unit: corpus.Tokens, Size: 128, Overlap: 16, Breadcrumb: !o.Paper}
	chunker, err := corpus.NewChunker(chunking, tokenizer)
	if err != nil {
		return 0, err
	}
	build.Chunking, build.Overlap, build.Tokenizer = chunking.String(), chunking.Overlap, tokenizer.Digest()
	build.Progress = func(s bm25.Stats) {
		if o.Progress != nil {
			o.Progress(s.Passages, s.Bytes)
		}
	}
	stats, err := bm25.Build(ctx, dir, corpus.Passages(o.readable(docs), chunker), build)
	return stats.Passages, err
}

// readable leaves out the documents that could not be read and reports them.
func (o IndexOptions) readable(docs iter.Seq2[Document, error]) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for doc, err := range docs {
			_, unreadable := errors.AsType[*corpus.FileError](err)
			if unreadable && o.Skipped != nil {
				o.Skipped(err)
			}
			if unreadable && o.Skipped != nil || corpus.Harmless(err) {
				continue
			}
			if !yield(doc, err) || err != nil {
				return
			}
		}
	}
}
