package library

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/flashback-lm/flashback/internal/collection"
	"github.com/flashback-lm/flashback/internal/retrieve"
	"github.com/flashback-lm/flashback/internal/retrieve/bm25"
)

// passagePrefix begins the ids of passages.
const passagePrefix = "psg_"

// encodeKey returns what a passage is called outside: short, the same for as long as the
// passage is called what it is, and made of nothing that an address would have to quote.
func encodeKey(k bm25.Key) string {
	b := binary.BigEndian.AppendUint64(nil, k.ID)
	b = binary.BigEndian.AppendUint64(b, k.Source)
	return passagePrefix + base64.RawURLEncoding.EncodeToString(b)
}

// decodeKey is encodeKey's way back; ok is false for what it never returned.
func decodeKey(id string) (k bm25.Key, ok bool) {
	encoded, ok := strings.CutPrefix(id, passagePrefix)
	if !ok {
		return k, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) != 16 {
		return k, false
	}
	return bm25.Key{ID: binary.BigEndian.Uint64(b), Source: binary.BigEndian.Uint64(b[8:])}, true
}

// Cite returns the name of the index that a passage which the reading found is of, and
// the id by which Passage returns it.
func (r *Reading) Cite(p retrieve.Passage) (index, id string) {
	if !r.s.hold() {
		return "", ""
	}
	defer r.s.release()
	part, key, ok := r.s.several.KeyOf(p)
	if !ok {
		return "", ""
	}
	return r.s.names[part], encodeKey(key)
}

// Passage returns the passage of an index that has this id now.
func (l *Library) Passage(name, id string) (retrieve.Passage, error) {
	key, ok := decodeKey(id)
	if !ok {
		return retrieve.Passage{}, fmt.Errorf("passage %q: %w", id, ErrNotFound)
	}
	r, err := l.Acquire(name)
	if err != nil {
		return retrieve.Passage{}, err
	}
	defer r.Release()
	p, ok, err := r.s.several.Parts()[0].Index.Find(key)
	if err == nil && !ok {
		err = fmt.Errorf("index %q has no passage %q any more, or never had: %w", name, id, ErrNotFound)
	}
	return p, err
}

// Upload returns the document of an index that a source there was made of; ok is false
// for one that was not uploaded.
func (l *Library) Upload(name, source string) (d Document, ok bool) {
	x, err := l.find(name)
	if err != nil {
		return d, false
	}
	r, err := l.Acquire(name)
	if err != nil {
		return d, false
	}
	defer r.Release()
	folder, ok := collection.Name(x.dir, r.s.several.Parts()[0].Index.Roots(), x.uploads)
	if !ok {
		return d, false
	}
	file, ok := strings.CutPrefix(source, folder+"/")
	if !ok {
		return d, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if d := x.names[foldName(file)]; d != nil && d.Name == file && d.State != removing {
		return x.shown(d), true
	}
	return d, false
}
