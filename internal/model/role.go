package model

// Role is what a tensor does in a model, whatever a file calls it. Roles below
// Projections are matrices of a block that an adapter may change; their numbers are
// part of adapters' digests and of what dropout draws, so new ones go behind them.
type Role int

// The roles: projections in the order in which a block uses them, then the others.
const (
	Q Role = iota
	K
	V
	O
	Gate
	Up
	Down
	Projections // how many projections there are
)

const (
	AttnNorm Role = Projections + iota
	FFNorm

	// Outside the blocks.
	Embedding
	OutputNorm
	Head

	// Biases of projections, in their order.
	QBias
	KBias
	VBias
	OBias
	GateBias
	UpBias
	DownBias

	QNorm // of each head's queries
	KNorm
	AttnNormBias
	FFNormBias
	PostAttnNorm // of what attention adds to the residual stream
	PostFFNorm

	// Outside the blocks.
	OutputNormBias
	PositionTable
	ProjectIn  // from the embedding's width to that of the residual stream
	ProjectOut // and back, in front of the head
	Roles      // how many roles there are
)

var roleNames = [Roles]string{
	Q: "q", K: "k", V: "v", O: "o", Gate: "gate", Up: "up", Down: "down",
	AttnNorm: "attention norm", FFNorm: "feed-forward norm",
	Embedding: "embedding", OutputNorm: "output norm", Head: "head",
	QBias: "q bias", KBias: "k bias", VBias: "v bias", OBias: "o bias", GateBias: "gate bias", UpBias: "up bias", DownBias: "down bias",
	QNorm: "q norm", KNorm: "k norm", AttnNormBias: "attention norm's bias", FFNormBias: "feed-forward norm's bias",
	PostAttnNorm: "norm behind attention", PostFFNorm: "norm behind feed-forward",
	OutputNormBias: "output norm's bias", PositionTable: "positions", ProjectIn: "projection of the embedding", ProjectOut: "projection of the output",
}

// String returns the role's name.
func (r Role) String() string { return roleNames[r] }

// Bias returns the role of the bias of a projection or a norm.
func (r Role) Bias() Role {
	switch r {
	case AttnNorm:
		return AttnNormBias
	case FFNorm:
		return FFNormBias
	case OutputNorm:
		return OutputNormBias
	}
	return QBias + r
}

// Projection reports whether an adapter may change the role's matrix.
func (r Role) Projection() bool { return r < Projections }
