package device

// Ops are the operations of a transformer's forward. They run in the order in which
// they are asked for. Sizes must be within those of the buffers; rows are counted from
// the beginning of a buffer.
type Ops interface {
	// Embed writes the rows of the input's tokens to x [tokens, width]. Rows of tokens
	// below 0 stay as they are.
	Embed(x Buffer, t Table)

	// AddPositions adds to x [tokens, width] the rows of a table that the input names.
	AddPositions(x Buffer, t Table)

	// RMSNorm sets dst = x / √(mean(x²) + eps) · scale for rows of scale's width, from row
	// first on; dst may be x. A buffer's row may hold several of them, one behind the
	// other: first and rows count those.
	RMSNorm(dst, x Buffer, scale Vector, first, rows int, eps float32)

	// LayerNorm sets dst = (x - mean(x)) / √(var(x) + eps) · scale + bias; dst may be x.
	LayerNorm(dst, x Buffer, scale, bias Vector, first, rows int, eps float32)

	// MatMul computes up to three products of the same x [rows, in]. Outputs are not x.
	MatMul(x Buffer, rows int, products []Product)

	// Activate sets gate = f(gate) · up, rows of the buffers' width, and up may be lost;
	// without up, gate = f(gate).
	Activate(f Activation, gate, up Buffer, rows int)

	// FeedForward computes gate and up of x [rows, in], then Activate of their outputs,
	// and down of that, with the bits of the three operations.
	FeedForward(f Activation, x Buffer, rows int, gate, up, down Product)

	// Add adds rows of y to those of x, of the same width.
	Add(x, y Buffer, rows int)

	// Scale multiplies rows of x by a number.
	Scale(x Buffer, rows int, by float32)

	// SoftCap sets x = most · tanh(x/most).
	SoftCap(x Buffer, rows int, most float32)

	// AddLowRank adds up to three updates of the same x [rows, in] to rows of products,
	// from row first on.
	AddLowRank(x Buffer, first, rows int, updates []Update)

	// Attend turns the queries [tokens, Heads, HeadDim] and keys [tokens, KVHeads,
	// HeadDim] of the input's rows to their positions, writes keys and values to the
	// rows' own entries for the layer, and sets out [tokens, Heads, HeadDim] to the
	// attention of each row over what it sees. q and k are lost.
	Attend(out, q, k, v Buffer, turn Rotation, layer int, a *Attention)

	// Gather copies the rows of src that the input wants to dst, one behind the other.
	Gather(dst, src Buffer)
}

// Product is one matrix product: Out [rows, out] = x · Wᵀ + Bias.
type Product struct {
	Out  Buffer
	W    Matrix
	Bias Vector // [out]; nil: none
	Add  bool   // add to Out instead
}

// Activation is the function between the products of a feed-forward.
type Activation uint8

// The activations.
const (
	SiLU     Activation = iota // x / (1 + e⁻ˣ)
	GELUTanh                   // x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))
	ReLU                       // max(x, 0)
)

// Update is one low-rank update of a product.
type Update struct {
	Out     Buffer
	Factors Factors
}

// Rotation holds the cosines and sines of the positions of the batch's rows, [tokens,
// pairs]: so many pairs of the elements of each head are turned by them, and what is
// left stays. The zero value turns nothing.
type Rotation struct {
	Cos, Sin Buffer
}
