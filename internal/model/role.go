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
	Roles // how many roles there are
)

var roleNames = [Roles]string{
	Q: "q", K: "k", V: "v", O: "o", Gate: "gate", Up: "up", Down: "down",
	AttnNorm: "attention norm", FFNorm: "feed-forward norm",
	Embedding: "embedding", OutputNorm: "output norm", Head: "head",
}

// String returns the role's name.
func (r Role) String() string { return roleNames[r] }

// Projection reports whether an adapter may change the role's matrix.
func (r Role) Projection() bool { return r < Projections }
