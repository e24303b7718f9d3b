package bm25

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Names inside an index directory.
const (
	manifestName  = "manifest.json"
	lockName      = "lock"
	tempSuffix    = ".tmp"
	formatVersion = 2
	maxManifest   = 64 << 20
)

// manifest names all that belongs to an index. It is replaced by rename, so a
// reader sees the index before or after a change.
type manifest struct {
	Format       int    `json:"format"`
	Generation   uint64 `json:"generation"` // counts the changes; new files carry it in their names
	Analyzer     string `json:"analyzer"`
	ExactLengths bool   `json:"exact_lengths,omitempty"`
	IndexTitle   bool   `json:"index_title,omitempty"`
	// BreadcrumbWeight is 0 for the paper's passages.
	BreadcrumbWeight int           `json:"breadcrumb_weight,omitempty"`
	Chunking         string        `json:"chunking,omitempty"`
	Overlap          int           `json:"overlap,omitempty"`
	Tokenizer        string        `json:"tokenizer,omitempty"` // digest of the one that passages were cut with
	Segments         []segmentInfo `json:"segments"`
	Sources          string        `json:"sources"` // the file that lists them (sources.go)
	SourcesSum       fileSum       `json:"sources_sum"`
	Roots            []Root        `json:"roots,omitempty"`

	digest []byte // SHA-256 of the file that it was read from
}

// envelope guards a manifest with the CRC-32C of its compact form.
type envelope struct {
	Manifest json.RawMessage `json:"manifest"`
	Sum      uint32          `json:"crc32c"`
}

var (
	// ErrNoIndex is what Open says of a directory without an index.
	ErrNoIndex = errors.New("no index here; make one with 'flashback index'")
	// ErrLocked is what a writer says of an index that another one is writing.
	ErrLocked = errors.New("another process is writing this index; try again when it is done")
)

func readManifest(dir string) (*manifest, error) {
	path := filepath.Join(dir, manifestName)
	f, err := os.Open(path)
	if info, failed := os.Stat(dir); err != nil && failed == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: %w", dir, ErrNoIndex)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoIndex)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() > maxManifest {
		return nil, damagedf(path, "%d bytes are too many for a manifest", info.Size())
	}
	sum := sha256.New()
	var e envelope
	if err := json.NewDecoder(io.TeeReader(f, sum)).Decode(&e); err != nil {
		return nil, damagedf(path, "%v", err)
	}
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	var version struct{ Format int }
	if err := json.Unmarshal(e.Manifest, &version); err != nil {
		return nil, damagedf(path, "%v", err)
	}
	if version.Format != formatVersion {
		return nil, fmt.Errorf("%s: the index has format %d, this program reads %d; index again", dir, version.Format, formatVersion)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, e.Manifest); err != nil {
		return nil, damagedf(path, "%v", err)
	}
	if crc32.Checksum(compact.Bytes(), castagnoli) != e.Sum {
		return nil, damagedf(path, "its checksum is wrong")
	}
	m := &manifest{digest: sum.Sum(nil)}
	if err := json.Unmarshal(e.Manifest, m); err != nil {
		return nil, damagedf(path, "%v", err)
	}
	return m, nil
}

// openSources opens the list of sources.
func (m *manifest) openSources(dir string) (*sourceTable, error) {
	if m.Sources != filepath.Base(m.Sources) {
		return nil, damagedf(manifestName, "the list of sources is outside the index")
	}
	return openSources(filepath.Join(dir, m.Sources), m.SourcesSum)
}
