package cpu

// Run is a range of rows of a batch, From … To-1.
type Run struct{ From, To int }

// Segment is a range of rows of one flat batch: each sees the runs, which stand
// before the segment, and then the rows of the segment up to itself.
type Segment struct {
	First, Count int
	Sees         []Run
}
