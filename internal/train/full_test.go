package train

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flashback-lm/flashback/internal/lora"
	"github.com/flashback-lm/flashback/internal/model"
)

// fill leaves no room on the file system of dir until the function it returns is called.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// temporary returns the files of unfinished writes below dir.
func temporary(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{".*.tmp-*", "*/.*.tmp-*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	return found
}

// TestFullDisk fills the disk while a training runs: it ends with an error that says so
// and leaves the last good checkpoint, also when it is tried again on the full disk. With
// room it goes on to the adapter and the log of one run.
func TestFullDisk(t *testing.T) {
	for _, c := range []struct {
		name                    string
		steps, saveEvery, after int    // the disk is full after that step
		last                    string // good checkpoint; "": none
		want                    string // in the error, besides
	}{
		{"at a checkpoint", 12, 4, 6, "00000004.ckpt", "step 8: write a checkpoint"},
		{"at the first checkpoint", 12, 4, 2, "", "there is no checkpoint yet"},
		{"at a line of the log", 120, 70, 71, "00000070.ckpt", "write the log"},
		{"at the last checkpoint", 12, 5, 11, "00000010.ckpt", "step 12: write a checkpoint"},
		{"at the plot", 12, 4, 12, "00000008.ckpt", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			straight := setup(t, c.steps)
			straight.SaveEvery = c.saveEvery
			want := run1(t, straight)

			o := setup(t, c.steps)
			o.SaveEvery = c.saveEvery
			disk := smallDisk(t, 1<<18)
			o.Dir = filepath.Join(disk, "training")
			var free func()
			o.Record = func(r Record) {
				if r.Step == c.after && free == nil {
					free = fill(t, disk)
				}
			}
			_, err := Run(t.Context(), o)
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.last) {
				t.Errorf("got %v, want a full disk, %q and %q", err, c.want, c.last)
			}
			if _, err := Run(t.Context(), o); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("again, on the full disk: %v", err)
			}
			if left := temporary(t, o.Dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			free()
			o.Record = nil
			first := ""
			o.Message = func(s string) {
				if first == "" {
					first = s
				}
			}
			got := run1(t, o)
			if !equalBits(got.Adapter, want.Adapter) || string(logWithoutTimes(t, o.Dir)) != string(logWithoutTimes(t, straight.Dir)) {
				t.Error("the adapter or the log differs from that of one run")
			}
			if (c.last != "") != strings.Contains(first, "going on") {
				t.Errorf("went on with %q, the last checkpoint was %q", first, c.last)
			}
		})
	}
}

// TestFullDiskKeepsTheOldAdapter writes an adapter over another where there is no room.
func TestFullDiskKeepsTheOldAdapter(t *testing.T) {
	disk := smallDisk(t, 1<<18)
	dir := filepath.Join(disk, "adapter")
	shape := lora.ShapeOf(&model.Weights{Config: model.Config{Family: "llama", Layers: 2, Hidden: 64, Heads: 2, KVHeads: 1, HeadDim: 32, FF: 64, Vocab: 20}})
	c := lora.Config{Rank: 4, Alpha: 4, Targets: []model.Role{model.Q, model.V}}
	older, newer := lora.New(c, shape, 1), lora.New(c, shape, 2)
	if err := lora.Write(dir, older); err != nil {
		t.Fatal(err)
	}
	digest := func() string {
		t.Helper()
		a, err := lora.Read(dir, shape)
		if err != nil {
			t.Fatal(err)
		}
		return a.Digest()
	}
	free := fill(t, disk)
	if err := lora.Write(dir, newer); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	if digest() != older.Digest() {
		t.Error("the old adapter is gone")
	}
	if left := temporary(t, disk); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	free()
	if err := lora.Write(dir, newer); err != nil || digest() != newer.Digest() {
		t.Errorf("with room again: %v, or another adapter", err)
	}
}
