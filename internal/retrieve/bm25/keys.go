package bm25

import (
	"encoding/binary"
	"sort"

	"github.com/cespare/xxhash/v2"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// The keys file finds passages by what they are called: three tables of (64-bit
// hash, first passage, end), sorted, one after the other; then the hash of each
// passage's content, in the passages' order; and the number of entries of each
// table in a trailer. A run of passages with one title or source is one entry;
// entries by id are one passage and have no end.
type keyKind int

const (
	byID keyKind = iota
	byTitle
	bySource
	keyKinds

	keyTrailer = 8 * int(keyKinds)
)

// size returns the bytes of an entry.
func (k keyKind) size() uint64 {
	if k == byID {
		return 12
	}
	return 16
}

type key struct {
	hash       uint64
	start, end uint32
}

func compareKeys(a, b key) int {
	switch {
	case a.hash != b.hash && a.hash < b.hash, a.hash == b.hash && a.start < b.start:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// contentHash identifies what a reader sees of a passage. Passages that are alike
// in it are shown once (see searcher.offer).
func contentHash(p *retrieve.Passage) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, s := range []string{p.Title, "\x00", p.Heading, "\x00", p.Text} {
		d.WriteString(s)
	}
	return d.Sum64()
}

// keyHash returns the passage's hash in a table.
func keyHash(kind keyKind, p *retrieve.Passage) uint64 {
	switch kind {
	case byID:
		return xxhash.Sum64String(p.ID)
	case byTitle:
		return xxhash.Sum64String(p.Title)
	}
	return xxhash.Sum64String(p.Source)
}

// keys reads a keys file.
type keys struct {
	file   *blockFile
	docs   uint32
	starts [keyKinds + 1]uint64 // of the tables, in bytes
}

func openKeys(file *blockFile, docs uint32) (*keys, error) {
	n := uint64(len(file.data))
	if n < uint64(keyTrailer) {
		return nil, damagedf(file.path, "no room for its trailer")
	}
	tail, err := file.bytes(n-uint64(keyTrailer), uint64(keyTrailer))
	if err != nil {
		return nil, err
	}
	k := &keys{file: file, docs: docs}
	for i := range keyKinds {
		count := binary.LittleEndian.Uint64(tail[8*i:])
		if count > uint64(docs) {
			return nil, damagedf(file.path, "table %d has %d entries for %d passages", i, count, docs)
		}
		k.starts[i+1] = k.starts[i] + count*i.size()
	}
	if k.starts[keyKinds]+8*uint64(docs) != n-uint64(keyTrailer) {
		return nil, damagedf(file.path, "its tables do not fill it")
	}
	return k, nil
}

// len returns the entries of a table.
func (k *keys) len(kind keyKind) int { return int((k.starts[kind+1] - k.starts[kind]) / kind.size()) }

// at returns entry i of a table.
func (k *keys) at(kind keyKind, i int) (key, error) {
	b, err := k.file.bytes(k.starts[kind]+uint64(i)*kind.size(), kind.size())
	if err != nil {
		return key{}, err
	}
	e := key{hash: binary.LittleEndian.Uint64(b), start: binary.LittleEndian.Uint32(b[8:])}
	e.end = e.start + 1
	if len(b) > 12 {
		e.end = binary.LittleEndian.Uint32(b[12:])
	}
	if e.start >= e.end || e.end > k.docs {
		return key{}, damagedf(k.file.path, "an entry names passages %d to %d of %d", e.start, e.end, k.docs)
	}
	return e, nil
}

// find returns the entries of a table with that hash.
func (k *keys) find(dst []key, kind keyKind, hash uint64) ([]key, error) {
	var failed error
	i := sort.Search(k.len(kind), func(i int) bool {
		e, err := k.at(kind, i)
		if err != nil {
			failed = err
		}
		return e.hash >= hash
	})
	for ; failed == nil && i < k.len(kind); i++ {
		e, err := k.at(kind, i)
		if err != nil || e.hash != hash {
			return dst, err
		}
		dst = append(dst, e)
	}
	return dst, failed
}

// content returns the hash of a passage's content.
func (k *keys) content(doc uint32) (uint64, error) {
	b, err := k.file.bytes(k.starts[keyKinds]+8*uint64(doc), 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}
