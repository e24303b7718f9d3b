package device

// Ops are the operations of a transformer's forward. They run in the order in which
// they are asked for. Sizes must be within those of the buffers; rows are counted from
// the beginning of a buffer.
type Ops interface {
	// Embed writes the rows of the input's tokens to x [tokens, width]. Rows of tokens
	// below 0 stay as they are.
	Embed(x Buffer, t Table)

	// RMSNorm sets dst = x / √(mean(x²) + eps) · scale for rows of scale's width; dst may
	// be x. A buffer's row may hold several of them, one behind the other: rows counts
	// those.
	RMSNorm(dst, x Buffer, scale Vector, rows int, eps float32)

	// MatMul computes up to three products of the same x [rows, in]. Outputs are not x.
	MatMul(x Buffer, rows int, products []Product)

	// SwiGLU sets gate = silu(gate) · up, rows of the buffers' width.
	SwiGLU(gate, up Buffer, rows int)

	// FeedForward computes gate and up of x [rows, in], then SwiGLU of their outputs,
	// and down of that, with the bits of the three operations.
	FeedForward(x Buffer, rows int, gate, up, down Product)

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

// Product is one matrix product: Out [rows, out] = x · Wᵀ.
type Product struct {
	Out Buffer
	W   Matrix
	Add bool // add to Out instead
}

// Update is one low-rank update of a product.
type Update struct {
	Out     Buffer
	Factors Factors
}

// Rotation holds the cosines and sines of the positions of the batch's rows,
// [tokens, HeadDim/2]: neighbouring pairs of elements are turned by them.
type Rotation struct {
	Cos, Sin Buffer
}
