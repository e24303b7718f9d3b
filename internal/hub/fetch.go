package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/progress"
)

// pullHub fetches r's files into the hub's cache, all of one commit.
func (r reference) pullHub(ctx context.Context, log io.Writer) (Model, error) {
	c, err := newClient()
	if err != nil {
		return Model{}, err
	}
	chosen := choice{files: []string{r.file}}
	if r.file == "" || isPart(r.file) {
		files, err := c.files(ctx, r)
		if err != nil {
			return Model{}, err
		}
		if chosen, err = r.choose(files); err != nil {
			return Model{}, err
		}
	}
	cache, err := hfCache()
	if err != nil {
		return Model{}, err
	}
	at, commit := r, ""
	for _, at.file = range chosen.files {
		if commit, err = at.fetch(ctx, c, cache, log); err != nil {
			return Model{}, err
		}
		at.rev = commit // the others of the same, should the branch move meanwhile
	}
	dir := filepath.Join(cache, r.folder())
	m, ok := chosen.in(filepath.Join(dir, "snapshots", commit), r.name)
	if !ok {
		return Model{}, fmt.Errorf("%s: what was fetched is gone: another program clears the cache; pull again", dir)
	}
	if err := r.refer(dir, commit); err != nil {
		return Model{}, disk(err, m.Size, cache, "HF_HUB_CACHE")
	}
	return m, nil
}

// fetch brings r's file into the hub's cache, unless it is there, and returns its commit.
func (r reference) fetch(ctx context.Context, c *client, cache string, log io.Writer) (string, error) {
	want, err := c.content(ctx, r)
	if err != nil {
		return "", err
	}
	if k := r.known; k != nil && (want.digest != k.sha256 || want.size != k.size) {
		return "", fmt.Errorf("the hub %s has another file there: %d bytes with digest %s, not %d with %s",
			c.endpoint, want.size, want.digest, k.size, k.sha256)
	}

	full := func(err error) error { return disk(err, want.size, cache, "HF_HUB_CACHE") }
	dir := filepath.Join(cache, r.folder())
	blob := filepath.Join(dir, "blobs", want.digest)
	file := filepath.Join(dir, "snapshots", want.commit, filepath.FromSlash(r.file)) // the content itself where there are no links
	if want.matches(ctx, file) {
		return want.commit, nil // nothing is written: the cache may be read-only
	}
	locks := filepath.Join(cache, ".locks", r.folder())
	for _, d := range []string{filepath.Dir(blob), locks} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", full(err)
		}
	}
	unlock, err := lock(ctx, filepath.Join(locks, want.digest+".lock"), log)
	if err != nil {
		return "", err
	}
	defer unlock()

	if !want.matches(ctx, file) && !want.matches(ctx, blob) {
		d := download{client: c, ref: r, want: want, log: log, full: full,
			url: c.resolveURL(r.repo, want.commit, r.file), partial: blob + ".incomplete"}
		if err := d.run(ctx); err != nil {
			return "", err
		}
		if err := atomicfile.Rename(d.partial, blob); err != nil {
			return "", full(err)
		}
		os.Remove(file) // it was damaged, absent, or a link to that blob
	}
	return want.commit, full(link(file, blob))
}

// newHash returns the hash that gives c.digest.
func (c content) newHash() hash.Hash {
	if len(c.digest) == 2*sha256.Size {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", c.size) // Git's header of a file
	return h
}

// matches tells whether the file at path has the content.
func (c content) matches(ctx context.Context, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := c.newHash()
	n, err := io.Copy(h, io.LimitReader(contextReader{ctx, f}, c.size+1))
	return err == nil && n == c.size && verifySum(path, h, c.digest) == nil
}

// download fetches one file under the name of a partial one, going on where an
// earlier attempt, of this process or another, was cut off.
type download struct {
	client  *client
	ref     reference
	want    content
	url     string
	partial string
	log     io.Writer
	full    func(error) error // marks failures to write
}

// attempts bounds how often a broken connection is taken up again without any
// progress; pause stands before each.
const attempts = 3

var pause = time.Second

var (
	// errRestart asks for another attempt from the start.
	errRestart = errors.New("the hub does not resume the download")
	// errShort: the content ends before the announced size.
	errShort = errors.New("it has less than it announced")
)

func (d *download) run(ctx context.Context) error {
	notef(d.log, "pulling %s (%s) from %s", d.ref.file, FormatSize(d.want.size), d.client.endpoint)
	for failed, best := 0, int64(0); ; {
		reached, err := d.attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w; what was fetched of %s stays for the next pull", context.Cause(ctx), d.ref.file)
		}
		var broken brokenError
		if !errors.As(err, &broken) {
			return err
		}
		if failed++; reached > best {
			failed, best = 0, reached
		}
		if failed == attempts {
			return fmt.Errorf("%w; pull again to go on from there", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// brokenError is a failure of the connection, worth another attempt.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

// attempt takes the partial file up and returns how many bytes it reached. On
// success the file is complete, verified and synced.
func (d *download) attempt(ctx context.Context) (reached int64, err error) {
	f, err := os.OpenFile(d.partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, d.full(err)
	}
	drop := false // whether what was fetched is of no use
	defer func() {
		f.Close()
		if drop {
			os.Remove(d.partial)
		}
	}()
	h := d.want.newHash()
	reached, err = io.Copy(h, io.LimitReader(contextReader{ctx, f}, d.want.size+1))
	if err != nil {
		return 0, err
	}
	switch {
	case reached > d.want.size:
		drop = true
		return 0, brokenError{errRestart}
	case reached < d.want.size:
		reached, err = d.rest(ctx, f, h, reached)
		drop = errors.Is(err, errRestart) || errors.Is(err, errShort) || errors.As(err, new(diskError))
		if err != nil {
			return reached, err
		}
	}
	if err := verifySum(d.ref.file+" from the hub "+d.client.endpoint, h, d.want.digest); err != nil {
		drop = true
		return reached, fmt.Errorf("%w; it was removed: pull again", err)
	}
	return reached, d.full(f.Sync())
}

// rest appends what is missing behind the first have bytes to out and h. It
// returns how many bytes are there then.
func (d *download) rest(ctx context.Context, out io.Writer, h hash.Hash, have int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := d.client.do(ctx, d.client.http, http.MethodGet, d.url, header)
	if err != nil {
		return have, brokenError{err}
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case have == 0 && code == http.StatusOK:
	case code == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
	case have > 0 && (code == http.StatusOK || code == http.StatusPartialContent):
		return 0, brokenError{errRestart}
	case have > 0 && code == http.StatusRequestedRangeNotSatisfiable:
		return 0, fmt.Errorf("the hub %s: %w: %d of %d bytes of %s; pull again", d.client.endpoint, errShort, have, d.want.size, d.ref.file)
	case code >= 500:
		return have, brokenError{d.client.refused(resp, d.ref)}
	default:
		return have, d.client.refused(resp, d.ref)
	}

	stalled := time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("nothing came for %v", stallTimeout)) })
	defer stalled.Stop()
	bar := progress.New(d.log, d.ref.file, d.want.size-have, true) // the rest, so that its rate is true
	defer bar.Finish()
	buf := make([]byte, 256<<10)
	for {
		// Never beyond the announced size: the digest decides what those bytes are.
		n, err := resp.Body.Read(buf[:min(int64(len(buf)), d.want.size-have)])
		stalled.Reset(stallTimeout)
		if _, err := out.Write(buf[:n]); err != nil {
			return have, d.full(err)
		}
		h.Write(buf[:n])
		bar.Add(n)
		if have += int64(n); have == d.want.size {
			return have, nil
		}
		if err == nil {
			continue
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return have, brokenError{fmt.Errorf("the hub %s broke off after %d of %d bytes: %w", d.client.endpoint, have, d.want.size, err)}
	}
}
