package trainset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/flashback-lm/flashback/internal/corpus"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// Streams of random numbers, which are independent for one seed.
const (
	orderStream  = iota // of documents, of their windows and of the windows in a file
	strideStream        // and above: the strides of one window
)

// document is one that is long enough for a window.
type document struct {
	id, title string
	tokens    []int32
}

// cut is a window that will be in a file.
type cut struct {
	*document
	start int
}

// Plan is what will be prepared: windows of documents.
type Plan struct {
	Documents int    // that were read
	Short     int    // of those, documents with less than a window's tokens
	Digest    string // of the documents' ids and tokens
	options   Options
	documents []*document
}

// Read takes the documents in, tokenised: about as much memory as they have bytes.
// A document that cannot be read ends it. Where no document is long enough the
// error says so.
func Read(docs iter.Seq2[corpus.Document, error], t ralm.Tokenizer, o Options) (*Plan, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	p := &Plan{options: o}
	h := sha256.New()
	for doc, err := range docs {
		if err != nil {
			return nil, err
		}
		p.Documents++
		tokens := t.Encode(doc.Text)
		if len(tokens) < o.Window() {
			p.Short++
			continue
		}
		d := &document{doc.ID, doc.Title, append([]int32(nil), tokens...)}
		p.documents = append(p.documents, d)
		fmt.Fprintf(h, "%q %q %d\n", d.id, d.title, len(tokens))
		if err := binary.Write(h, binary.LittleEndian, d.tokens); err != nil {
			return nil, err
		}
	}
	if len(p.documents) == 0 {
		return nil, fmt.Errorf("none of %d documents has the %d tokens of a window: take longer documents or a shorter context", p.Documents, o.Window())
	}
	p.Digest = hex.EncodeToString(h.Sum(nil)[:8])
	return p, nil
}

// Windows returns how many windows there are at most.
func (p *Plan) Windows() int {
	n := 0
	for _, d := range p.documents {
		n += len(d.tokens) / p.options.Window()
	}
	return n
}

// choose draws the windows of a file, 0 for all and else at most so many, in the
// order in which they stand there, and
// those of another one for validation, whose documents give none to the first.
// Documents take turns in an order drawn by the seed, so that a long one does not
// push others out; a validation window comes from a document of its own.
func (p *Plan) choose(windows, validation int) (training, held []cut) {
	r := rand.New(rand.NewPCG(p.options.Seed, orderStream))
	size := p.options.Window()
	turns := make([][]cut, len(p.documents)) // each document's windows
	for i, at := range r.Perm(len(p.documents)) {
		d := p.documents[at]
		for _, n := range r.Perm(len(d.tokens) / size) {
			turns[i] = append(turns[i], cut{d, n * size})
		}
	}
	for _, own := range turns[:validation] {
		held = append(held, own[0])
	}
	turns = turns[validation:]
	for turn, more := 0, true; more; turn++ {
		more = false
		for _, own := range turns {
			if turn < len(own) && (windows == 0 || len(training) < windows) {
				training = append(training, own[turn])
				more = true
			}
		}
	}
	r.Shuffle(len(training), func(i, j int) { training[i], training[j] = training[j], training[i] })
	return training, held
}

// contexts draws the strides of window i of a file, ascending.
func (o Options) contexts(i int) []int {
	all := o.Contexts()
	if o.Branches >= len(all) {
		return all
	}
	r := rand.New(rand.NewPCG(o.Seed, strideStream+uint64(i)))
	drawn := make([]int, 0, o.Branches)
	for at, p := range all { // each subset of this size is as likely (Knuth's algorithm S)
		if r.IntN(len(all)-at) < o.Branches-len(drawn) {
			drawn = append(drawn, p)
		}
	}
	return drawn
}
