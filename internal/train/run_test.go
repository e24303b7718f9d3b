package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// setup returns options of a run of that many steps into a directory of its own.
func setup(t *testing.T, steps int) Options {
	t.Helper()
	return Options{
		Dir: t.TempDir(), Config: Config{Recipe: smallRecipe(steps), Model: "m", Examples: "e"},
		Initial: small(), Train: newBowl(5), SaveEvery: 4,
	}
}

func run1(t *testing.T, o Options) Result {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// logWithoutTimes returns the log with the seconds, which no two runs share, at 0.
func logWithoutTimes(t *testing.T, dir string) []byte {
	t.Helper()
	records, err := ReadLog(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, r := range records {
		r.Seconds = 0
		if err := json.NewEncoder(&out).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestRunLowersTheLoss(t *testing.T) {
	o := setup(t, 60)
	var losses []float64
	o.Record = func(r Record) { losses = append(losses, r.Loss) }
	initial := small()
	result := run1(t, o)
	if len(losses) != 60 || !(losses[59] < losses[0]/10) {
		t.Errorf("%d losses, from %v to %v", len(losses), losses[0], losses[len(losses)-1])
	}
	if !equalBits(o.Initial, initial) {
		t.Error("the initial adapter was changed")
	}
	if result.Step != 60 || result.Adapter.Layers[1][0].Scale != 2 {
		t.Errorf("got %+v", result)
	}
	if info, err := os.Stat(filepath.Join(o.Dir, plotFile)); err != nil || info.Size() == 0 {
		t.Errorf("no plot: %v", err)
	}
}

// The log's first loss is the mean over the first batch's targets, in file order.
func TestLossIsTheMeanOverTheTargets(t *testing.T) {
	o := setup(t, 2)
	var records []Record
	o.Record = func(r Record) { records = append(records, r) }
	run1(t, o)
	want := 0.0
	for i := range 3 {
		w, _ := o.Train.Pack(i)
		sum, _ := w.Loss(t.Context(), small())
		want += sum / float64(3*w.Targets())
	}
	if got := records[0]; math.Abs(got.Loss-want) > 1e-12 || got.Tokens != 300 || got.Targets != 48 || got.LR != 0.2 {
		t.Errorf("got %+v, want a loss of %v", got, want)
	}
}

func TestResumeIsBitExact(t *testing.T) {
	straight := setup(t, 10)
	straight.Validation = newBowl(2)
	straight.Config.Recipe.EvalEvery = 3
	want := run1(t, straight)

	for _, stopped := range []int{1, 5, 9} { // steps before the stop
		o := straight
		o.Dir = t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		b := newBowl(5)
		b.before = func(calls int) error {
			if calls == 3*stopped+2 { // in the middle of a batch
				cancel()
			}
			return nil
		}
		o.Train = b
		if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d steps: %v", stopped, err)
		}
		o.Train = newBowl(5)
		var messages []string
		o.Message = func(s string) { messages = append(messages, s) }
		got := run1(t, o)
		if !equalBits(got.Adapter, want.Adapter) || got.Step != want.Step || got.Validation != want.Validation {
			t.Errorf("stopped after %d steps: the adapter differs from that of one run", stopped)
		}
		if !bytes.Equal(logWithoutTimes(t, o.Dir), logWithoutTimes(t, straight.Dir)) {
			t.Errorf("stopped after %d steps: the log differs from that of one run:\n%s\nwant\n%s", stopped, logWithoutTimes(t, o.Dir), logWithoutTimes(t, straight.Dir))
		}
		if len(messages) != 1 || !strings.Contains(messages[0], "going on") {
			t.Errorf("messages %q", messages)
		}
	}
}

// A process that is killed has no chance to save: what it leaves is the last
// checkpoint, a longer log and perhaps an unfinished file.
func TestResumeAfterAKill(t *testing.T) {
	straight := setup(t, 10)
	want := run1(t, straight)
	o := setup(t, 10)
	killed := errors.New("killed")
	b := newBowl(5)
	b.before = func(calls int) error {
		if calls == 3*6+1 {
			return killed
		}
		return nil
	}
	o.Train = b
	if _, err := Run(t.Context(), o); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	left := filepath.Join(o.Dir, checkpointsDir, ".00000008.ckpt.tmp-1")
	if err := os.WriteFile(left, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, logFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"step":7,"lo`)
	f.Close()
	o.Train = newBowl(5)
	first := 0
	o.Record = func(r Record) {
		if first == 0 {
			first = r.Step
		}
	}
	got := run1(t, o)
	if first != 5 {
		t.Errorf("went on with step %d, the last checkpoint is of step 4", first)
	}
	if !equalBits(got.Adapter, want.Adapter) || !bytes.Equal(logWithoutTimes(t, o.Dir), logWithoutTimes(t, straight.Dir)) {
		t.Error("the adapter or the log differs from that of one run")
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the unfinished checkpoint is still there")
	}
}

func TestDamagedCheckpointFallsBack(t *testing.T) {
	straight := setup(t, 10)
	want := run1(t, straight)
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte { b[len(b)-60] ^= 1; return b },
	} {
		o := setup(t, 10)
		run1(t, o)
		path := filepath.Join(o.Dir, checkpointsDir, "00000010.ckpt")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(data), 0o644); err != nil {
			t.Fatal(err)
		}
		var messages []string
		o.Message = func(s string) { messages = append(messages, s) }
		if got := run1(t, o); !equalBits(got.Adapter, want.Adapter) {
			t.Errorf("%s: the adapter differs from that of one run", name)
		}
		if len(messages) != 2 || !strings.Contains(messages[0], "00000010.ckpt") || !strings.Contains(messages[1], "step 8") {
			t.Errorf("%s: messages %q", name, messages)
		}
	}
	t.Run("all", func(t *testing.T) {
		o := setup(t, 3)
		run1(t, o)
		if err := os.WriteFile(filepath.Join(o.Dir, checkpointsDir, "00000003.ckpt"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--restart") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOtherConfigurationIsRefused(t *testing.T) {
	o := setup(t, 6)
	run1(t, o)
	o.Config.Recipe.LR, o.Config.Model, o.Config.Rounding = 0.1, "another", "bf16"
	_, err := Run(t.Context(), o)
	for _, want := range []string{"lr is 0.1 here and was 0.2", "model is another", "compute is bf16 here and was f32"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	o.Restart = true
	if r := run1(t, o); r.Taken != 6 {
		t.Errorf("got %+v", r)
	}
	o.Restart = false
	o.Initial.Rows[0].Embedding[0]++
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "initial adapter") {
		t.Errorf("got %v", err)
	}
}

// behind is a validation that training from 0 only makes worse: its first is the
// best.
func behind() *bowl {
	b := newBowl(1)
	b.points[0] = -1
	return b
}

func TestCheckpointsKept(t *testing.T) {
	o := setup(t, 22)
	o.Initial, o.Validation = small().Like(), behind()
	o.Config.Recipe.EvalEvery, o.Config.Recipe.Patience = 2, 0
	result := run1(t, o)
	names, err := filepath.Glob(filepath.Join(o.Dir, checkpointsDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if want := []string{"00000002.ckpt", "00000020.ckpt", "00000022.ckpt"}; !slices.Equal(names, want) {
		t.Errorf("kept %v, want %v", names, want)
	}
	if result.Step != 2 || result.Taken != 22 {
		t.Errorf("got %+v, want the adapter of step 2", result)
	}
}

func TestEarlyStop(t *testing.T) {
	o := setup(t, 50)
	o.Initial, o.Validation = small().Like(), behind()
	o.Config.Recipe.EvalEvery, o.Config.Recipe.Patience = 2, 3
	result := run1(t, o)
	if result.Step != 2 || result.Taken != 8 {
		t.Errorf("got step %d of %d, want 2 of 8", result.Step, result.Taken)
	}
	again := run1(t, o) // is over and stays so
	if again.Taken != 8 || !equalBits(again.Adapter, result.Adapter) {
		t.Errorf("again: step %d of %d", again.Step, again.Taken)
	}
}

func TestNaNStops(t *testing.T) {
	for _, poison := range []float64{math.NaN(), math.Inf(1)} {
		o := setup(t, 10)
		b := newBowl(5)
		b.poison, b.poisonCall = poison, 3*6+2
		o.Train = b
		_, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "step 7: the loss is") || !strings.Contains(err.Error(), "00000004.ckpt") {
			t.Errorf("got %v", err)
		}
		o.Train = newBowl(5)
		run1(t, o)
	}
}

func TestTwoTrainingsInOneDirectory(t *testing.T) {
	o := setup(t, 3)
	inner := o
	o.Record = func(Record) {
		if _, err := Run(context.Background(), inner); err == nil || !strings.Contains(err.Error(), "another training") {
			t.Errorf("the second training got %v", err)
		}
	}
	run1(t, o)
}

// A full disk and a directory that vanishes look alike: the write fails.
func TestFailedWriteKeepsTheLastCheckpoint(t *testing.T) {
	o := setup(t, 12)
	checkpoints := filepath.Join(o.Dir, checkpointsDir)
	o.Record = func(r Record) {
		if r.Step == 6 {
			if err := errors.Join(os.Rename(checkpoints, checkpoints+".moved"), os.WriteFile(checkpoints, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "step 8: write a checkpoint") || !strings.Contains(err.Error(), "00000004.ckpt") {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(os.Remove(checkpoints), os.Rename(checkpoints+".moved", checkpoints)); err != nil {
		t.Fatal(err)
	}
	o.Record = nil
	want := run1(t, setup(t, 12))
	if got := run1(t, o); !equalBits(got.Adapter, want.Adapter) {
		t.Error("the adapter differs from that of one run")
	}
}

func TestRunRefuses(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"have no window":  func(o *Options) { o.Train = newBowl(0) },
		"validation":      func(o *Options) { o.Validation = newBowl(0) },
		"no targets":      func(o *Options) { b := newBowl(2); b.targets = 0; o.Train = b },
		"cannot train":    func(o *Options) { o.Dir = filepath.Join(o.Dir, "file", "dir") },
		"nothing to":      func(o *Options) { o.Initial.Layers, o.Initial.Rows = nil, nil },
		"rank":            func(o *Options) { o.Config.Recipe.Rank = 0 },
		"between checkpo": func(o *Options) { o.SaveEvery = 0 },
	} {
		o := setup(t, 2)
		if err := os.WriteFile(filepath.Join(o.Dir, "file"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestDropoutSeedsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(4) {
		for step := range 50 {
			for window := range 16 {
				seen[dropoutSeed(seed, step, window)] = true
			}
		}
	}
	if len(seen) != 4*50*16 {
		t.Errorf("%d seeds for %d windows", len(seen), 4*50*16)
	}
}
