// Package corpus reads documents from whatever people have and cuts them into
// the passages that a retriever indexes.
//
// Readers are iterators. A file that cannot be read yields a *FileError and the
// iteration goes on with the next; any other error ends it.
package corpus

import (
	"errors"
	"fmt"
	"iter"
	"strconv"

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
	// Encoding is what the text was taken to be written in, such as "windows-1252",
	// where its bytes are not UTF-8 and the file does not say; else empty.
	Encoding string
}

// Place says where the text from an offset on stands in its file.
type Place struct {
	Offset   int      // in Text, in bytes
	Headings []string // that it stands under, outermost first; nil: those of the lines of '#' in Text
	Page     int      // from 1; 0: the format has no pages
	Line     int      // of the file, from 1; 0: the format has no lines
}

// FileError reports one file, record or part of a file that could not be read; the
// others can.
type FileError struct {
	Source string   // the file
	Line   int      // of the record, from 1; 0: the file as a whole
	Part   bool     // of the file; what else it holds was read
	Fields []string // that the record has, where it lacks the one that holds the text
	Err    error
}

// Error says where the fault is and what it is.
func (e *FileError) Error() string { return fmt.Sprintf("%s: %v", e.At(), e.Err) }

// At names the file, and the record's line if there is one.
func (e *FileError) At() string {
	if e.Line == 0 {
		return e.Source
	}
	return e.Source + ":" + strconv.Itoa(e.Line)
}

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

// IsFileError reports whether an error is only about one file or a part of it.
func IsFileError(err error) bool {
	_, ok := errors.AsType[*FileError](err)
	return ok
}
