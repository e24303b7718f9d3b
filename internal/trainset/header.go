package trainset

import (
	"fmt"
	"math"
)

// Format is the version of the file format that this package reads and writes.
const Format = 1

// Options say how windows are cut and what is looked up for them.
type Options struct {
	Context    int    `json:"context"`     // the longest context, in tokens
	Stride     int    `json:"stride"`      // target tokens a stride
	Branches   int    `json:"branches"`    // strides a window, drawn without repetition
	K          int    `json:"k"`           // passages a stride at most
	QueryLen   int    `json:"query_len"`   // last tokens of a context that make its query
	PassageLen int    `json:"passage_len"` // tokens at which a passage is cut
	Seed       uint64 `json:"seed"`
}

// Check returns an error for options that no window can be cut by.
func (o Options) Check() error {
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"stride", o.Stride, 1 << 12}, {"branches", o.Branches, 1 << 16}, {"k", o.K, 1 << 10},
		{"query length", o.QueryLen, 1 << 12}, {"passage length", o.PassageLen, 1 << 12}, {"context", o.Context, 1 << 20},
	} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%s %d: must be from 1 to %d", f.name, f.value, f.most)
		}
	}
	if o.Context < o.QueryLen {
		return fmt.Errorf("context %d: must be at least a query, %d tokens", o.Context, o.QueryLen)
	}
	return nil
}

// Contexts returns the lengths of context that strides are drawn from: a query,
// then a stride more each, up to Context.
func (o Options) Contexts() []int {
	var contexts []int
	for p := o.QueryLen; p <= o.Context; p += o.Stride {
		contexts = append(contexts, p)
	}
	return contexts
}

// Window returns the tokens of a window: the longest context and its target.
func (o Options) Window() int {
	return o.Context - (o.Context-o.QueryLen)%o.Stride + o.Stride
}

// Header says what a file's windows are of and how they were made. Two files with
// the same header hold the same windows.
type Header struct {
	Format    int    `json:"format"`
	Windows   int    `json:"windows"`
	Tokenizer string `json:"tokenizer"` // digest of the one that tokens are of
	Vocab     int    `json:"vocab"`     // every token is below
	Corpus    string `json:"corpus"`    // digest of the documents
	Index     string `json:"index"`     // digest of the index that passages are of
	Part      string `json:"part"`      // training or validation
	// BOS says that each window begins with the model's BOS, behind which its Window
	// tokens stand. Contexts count it; it is in no query and never a target.
	BOS bool `json:"bos,omitempty"`
	Options
}

// lead returns how many tokens stand in a window before those of the document.
func (h Header) lead() int {
	if h.BOS {
		return 1
	}
	return 0
}

// MaxContext returns the most tokens that a stride's context has.
func (h Header) MaxContext() int { return h.lead() + h.Options.Context }

// check refuses a header that no file of this format has.
func (h Header) check() error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("format %d, this program reads %d; prepare the examples again", h.Format, Format)
	case h.Windows < 1 || h.Windows > math.MaxInt32:
		return fmt.Errorf("%d windows", h.Windows)
	case h.Vocab < 1 || h.Vocab > math.MaxInt32:
		return fmt.Errorf("a vocabulary of %d tokens", h.Vocab)
	}
	return h.Options.Check()
}
