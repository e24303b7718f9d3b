// Package trainset holds training examples: windows of text with the passages that
// a retriever gave at their strides, as tokens, in a file that trainers read at
// random.
package trainset

// Window is a run of tokens of one document with the strides of it that are
// trained on, which share its text as their context.
type Window struct {
	Document string   `json:"document"` // the document's id
	Tokens   []int32  `json:"tokens"`   // no BOS, no title
	Strides  []Stride `json:"strides"`
}

// Stride is one example: context, evidence and target.
type Stride struct {
	Context  int       `json:"context"`  // tokens of the window before the target
	Passages []Passage `json:"passages"` // best first, none of the window's own document
}

// Passage is what the retriever found for the last tokens of a context.
type Passage struct {
	ID     string  `json:"id"`
	Score  float64 `json:"score"`
	Tokens []int32 `json:"tokens"` // cut to the passage length, without marks
}
