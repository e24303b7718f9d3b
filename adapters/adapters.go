// Package adapters holds adapters that come with FlashBack, about ten megabytes each: a program that does
// not import it does not carry them.
package adapters

import (
	"embed"
	"io/fs"
)

//go:embed smollm2-135m-answers
var files embed.FS

// AnswersName is the directory of Answers.
const AnswersName = "smollm2-135m-answers"

// Answers returns the adapter that answers questions from passages with the default model, as files for
// Engine.LoadAdapterFS: FlashBack's placement, with its marks, one passage, and the turn repeated behind it.
func Answers() fs.FS {
	dir, err := fs.Sub(files, AnswersName)
	if err != nil {
		panic(err) // the name is a valid path
	}
	return dir
}
