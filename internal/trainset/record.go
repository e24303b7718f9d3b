package trainset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A record is a window: strings and lists with their lengths before them, numbers
// as varints, scores as little-endian float64.

// errShort is what a record says whose lengths do not fit it.
var errShort = errors.New("it ends too early")

// appendWindow encodes w.
func appendWindow(b []byte, w Window) []byte {
	b = appendString(b, w.Document)
	b = appendTokens(b, w.Tokens)
	b = binary.AppendUvarint(b, uint64(len(w.Strides)))
	for _, s := range w.Strides {
		b = binary.AppendUvarint(b, uint64(s.Context))
		b = binary.AppendUvarint(b, uint64(len(s.Passages)))
		for _, p := range s.Passages {
			b = appendString(b, p.ID)
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Score))
			b = appendTokens(b, p.Tokens)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTokens(b []byte, tokens []int32) []byte {
	b = binary.AppendUvarint(b, uint64(len(tokens)))
	for _, t := range tokens {
		b = binary.AppendUvarint(b, uint64(t))
	}
	return b
}

// decodeWindow reads a whole record.
func decodeWindow(b []byte) (Window, error) {
	d := decoder{b: b}
	w := Window{Document: d.string(), Tokens: d.tokens()}
	for range d.count() {
		s := Stride{Context: int(d.uvarint(math.MaxInt32)), Passages: []Passage{}} // a list in JSON too, not null
		for range d.count() {
			s.Passages = append(s.Passages, Passage{ID: d.string(), Score: d.float(), Tokens: d.tokens()})
		}
		if d.err != nil {
			break
		}
		w.Strides = append(w.Strides, s)
	}
	if d.err == nil && len(d.b) > 0 {
		d.err = fmt.Errorf("%d bytes are left over", len(d.b))
	}
	return w, d.err
}

// decoder takes values off the front of b. After an error all are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint(most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.err = errShort
		return 0
	}
	if v > most {
		d.err = fmt.Errorf("%d is above %d", v, most)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the length of a list, each entry of which takes a byte or more.
func (d *decoder) count() int {
	n := d.uvarint(math.MaxInt32)
	if n > uint64(len(d.b)) {
		d.err = errShort
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) float() float64 {
	if d.err == nil && len(d.b) < 8 {
		d.err = errShort
	}
	if d.err != nil {
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

func (d *decoder) tokens() []int32 {
	tokens := make([]int32, d.count())
	for i := range tokens {
		tokens[i] = int32(d.uvarint(math.MaxInt32))
	}
	return tokens
}

// checkWindow refuses a window that is not of the header's shape: a trainer relies on it.
func (h Header) checkWindow(w Window) error {
	if want := h.lead() + h.Window(); len(w.Tokens) != want {
		return fmt.Errorf("%d tokens, a window has %d", len(w.Tokens), want)
	}
	if len(w.Strides) == 0 || len(w.Strides) > h.Branches {
		return fmt.Errorf("%d strides, not 1 to %d", len(w.Strides), h.Branches)
	}
	lists := [][]int32{w.Tokens}
	before := h.lead() + h.QueryLen - 1
	for _, s := range w.Strides {
		if s.Context <= before || s.Context > h.MaxContext() || len(s.Passages) > h.K {
			return fmt.Errorf("a stride with context %d after %d and %d passages", s.Context, before, len(s.Passages))
		}
		before = s.Context
		for _, p := range s.Passages {
			if len(p.Tokens) == 0 || len(p.Tokens) > h.PassageLen {
				return fmt.Errorf("a passage of %d tokens, not 1 to %d", len(p.Tokens), h.PassageLen)
			}
			if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
				return fmt.Errorf("a score of %v", p.Score)
			}
			lists = append(lists, p.Tokens)
		}
	}
	for _, tokens := range lists {
		for _, t := range tokens {
			if t < 0 || int(t) >= h.Vocab {
				return fmt.Errorf("token %d, the vocabulary has %d", t, h.Vocab)
			}
		}
	}
	return nil
}
