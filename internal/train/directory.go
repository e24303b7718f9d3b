package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/gofrs/flock"
)

// What a training keeps in its directory, beside the adapter's own files.
const (
	lockFile       = "train.lock"
	checkpointsDir = "checkpoints"
	logFile        = "train.jsonl"
	plotFile       = "loss.png"
)

// kept is how many of the last checkpoints are kept, beside the best.
const kept = 2

// directory is the directory of a training, locked.
type directory struct {
	path string
	lock *flock.Flock
}

// openDirectory makes the directory if need be and keeps other trainings out of it.
func openDirectory(path string) (*directory, error) {
	if err := os.MkdirAll(filepath.Join(path, checkpointsDir), 0o777); err != nil {
		return nil, fmt.Errorf("cannot train into %s: %w", path, err)
	}
	l := flock.New(filepath.Join(path, lockFile))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("cannot train into %s: lock it: %w", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: another training writes there; name another directory with -o, or wait for it", path)
	}
	d := &directory{path, l}
	d.removeUnfinished()
	return d, nil
}

// close lets other trainings in.
func (d *directory) close() error { return d.lock.Close() }

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

func (d *directory) checkpoint(step int) string {
	return d.file(filepath.Join(checkpointsDir, fmt.Sprintf("%08d.ckpt", step)))
}

var checkpointName = regexp.MustCompile(`^(\d{8,10})\.ckpt$`)

// steps returns the steps that have a checkpoint, the last first.
func (d *directory) steps() ([]int, error) {
	entries, err := os.ReadDir(d.file(checkpointsDir))
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		if m := checkpointName.FindStringSubmatch(e.Name()); m != nil {
			step, err := strconv.Atoi(m[1])
			if err == nil {
				steps = append(steps, step)
			}
		}
	}
	slices.SortFunc(steps, func(a, b int) int { return b - a })
	return steps, nil
}

// prune removes all checkpoints but the last ones and that of the best step.
func (d *directory) prune(best int) error {
	steps, err := d.steps()
	if err != nil {
		return err
	}
	for i, step := range steps {
		if i >= kept && step != best {
			if err := os.Remove(d.checkpoint(step)); err != nil {
				return err
			}
		}
	}
	return nil
}

// setAside renames a damaged checkpoint, so that it neither counts as one of the
// last nor is lost to whoever wants to look at it.
func (d *directory) setAside(step int) error {
	return os.Rename(d.checkpoint(step), d.checkpoint(step)+".damaged")
}

// clear removes what a training before left.
func (d *directory) clear() error {
	if err := os.RemoveAll(d.file(checkpointsDir)); err != nil {
		return err
	}
	for _, name := range []string{logFile, plotFile} {
		if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Mkdir(d.file(checkpointsDir), 0o777)
}

// removeUnfinished removes the temporary files of a training that was killed while
// it wrote a checkpoint.
func (d *directory) removeUnfinished() {
	left, _ := filepath.Glob(d.file(filepath.Join(checkpointsDir, ".*.tmp-*"))) // the pattern is sound
	for _, path := range left {
		os.Remove(path) // in nobody's way if it stays
	}
}
