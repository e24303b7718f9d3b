package device

import "github.com/flashback-lm/flashback/internal/kvcache"

// Workspace is the memory of forwards that run one after the other: its buffers, and
// whatever the device needs besides. Forwards of several workspaces of one device may
// be asked for at once; whether they take turns is the device's choice.
type Workspace interface {
	// NewBuffer returns room for rows of width numbers, zeros at first.
	NewBuffer(rows, width int) (Buffer, error)

	// Forward takes the input and does the operations that ops asks for, in order. An
	// error of ops ends it and is returned. Outside of it there are no operations.
	//
	// A device may record what was asked for, and where Input.Repeats says so, do it
	// again without calling ops. What ops does must therefore follow from the
	// workspace and the sizes of the input: everything else is read from the input and
	// from buffers.
	Forward(in *Input, ops func(Ops) error) error

	// Close gives the memory back.
	Close()
}

// Buffer is rows of numbers on the device. Write and Read are for its owner, between
// forwards.
type Buffer interface {
	// Write sets a row, or the beginning of one.
	Write(row int, values []float32)

	// Read returns n rows from one on [n, width], when all that writes them is done.
	// They are to be read only, and until the workspace's next forward.
	Read(row, n int) []float32
}

// Input is what changes from one forward to the next.
type Input struct {
	// Tokens are the tokens of the batch, for Embed; below 0 where the row has been
	// written already.
	Tokens []int32

	// Positions are rows of the table of learned positions, for AddPositions.
	Positions []int32

	// Rows cover the tokens in order, for Attend.
	Rows []Rows

	// Wanted are the rows that Gather collects.
	Wanted []int

	// Choices say how a token is chosen of each wanted row; empty: none is. Only devices
	// that are a Chooser know what to do with them.
	Choices []Choice

	// Repeats says that the operations are those of every other forward of this
	// workspace that says so, has as many tokens, wants as many rows, and chooses tokens of
	// them or does not.
	Repeats bool
}

// Choice says how the token of a row is chosen, as sample.Options do.
type Choice struct {
	Temperature float32 // 0: the greatest logit
	TopP        float32 // 0 and 1: all
	MinP        float32 // 0: all
	TopK        int32   // 0: all
	Uniform     float32 // from [0, 1): where in the sum of weights the token lies
}

// Chooser is a Workspace that chooses tokens, so that logits need not be read. Its Ops have
// Choose, which is asked for behind a head.
type Chooser interface {
	Workspace
	// Chosen returns the token of a wanted row of the last forward that chose, and whether all
	// its logits were finite numbers.
	Chosen(row int) (token int32, finite bool)
}

// ChoosingOps are the Ops of a Chooser.
type ChoosingOps interface {
	Ops
	// Choose chooses tokens of the wanted rows' logits by the input's Choices.
	Choose(logits Buffer)
}

// Rows are consecutive rows of a batch with the same view. A row's position is that of
// its entry in Self.
type Rows struct {
	First, Count int            // rows of the batch
	View         []kvcache.Part // what all of them see
	Self         *kvcache.Span  // where their own keys and values go
	SelfFirst    int            // entry of Self that row First writes; a row sees Self up to its own entry
}
