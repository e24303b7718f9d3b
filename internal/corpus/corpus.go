// Package corpus reads documents from whatever people have and cuts them into
// the passages that a retriever indexes.
//
// Readers are iterators. A file that cannot be read yields a *FileError and the
// iteration goes on with the next; any other error ends it.
package corpus

import (
	"fmt"
	"iter"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Document is one text with what is known of it.
type Document struct {
	ID     string // unique in the corpus: a record's own id, else its file (and line)
	Title  string // empty when there is none
	Text   string // valid UTF-8
	Source string // the file that it came from
	// Places say where stretches of Text come from, in order of Offset. Each holds up
	// to the next; nil where nothing is known.
	Places []Place
}

// Place says where the text from an offset on stands in its file.
type Place struct {
	Offset   int      // in Text, in bytes
	Headings []string // that it stands under, outermost first; nil: none
	Page     int      // from 1; 0: the format has no pages
	Line     int      // of the file, from 1; 0: the format has no lines
}

// FileError reports one file or record that could not be read; the others can.
type FileError struct {
	Source string // the file, with the line for a record
	Err    error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s: %v", e.Source, e.Err) }

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// Passages cuts every document of docs. Errors pass through in their place.
func Passages(docs iter.Seq2[Document, error], c *Chunker) iter.Seq2[retrieve.Passage, error] {
	return func(yield func(retrieve.Passage, error) bool) {
		for doc, err := range docs {
			if err != nil {
				if !yield(retrieve.Passage{}, err) {
					return
				}
				continue
			}
			for p := range c.Split(doc) {
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}
