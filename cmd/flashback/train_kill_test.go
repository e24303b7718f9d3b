package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/train"
)

// asCommand is set where the test's own binary is to be the command.
const asCommand = "FLASHBACK_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// trainee is a training of a tiny model in a process of its own.
type trainee struct {
	adapter string
	args    []string
	stderr  bytes.Buffer
}

// tinyExamples makes examples of the tiny model in the file.
func tinyExamples(t *testing.T, model string) string {
	t.Helper()
	dir := t.TempDir()
	var corpus strings.Builder
	for i := range 12 {
		fmt.Fprintf(&corpus, `{"id":"d%d","text":"the %dth harbour light is seen from the wall of the %dth old harbour"}`+"\n", i, 10+i, 20+i)
	}
	documents, index, made := filepath.Join(dir, "corpus.jsonl"), filepath.Join(dir, "index"), filepath.Join(dir, "made.examples")
	if err := os.WriteFile(documents, []byte(corpus.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"index", "--model", model, documents, "-o", index},
		{"prepare", "--model", model, documents, "--index", index, "-o", made,
			"--context", "24", "--stride", "8", "--query-len", "8", "--branches", "2", "--k", "1", "--passage-len", "12"},
	} {
		if _, errs, err := runCommand(args...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, errs)
		}
	}
	return made
}

func newTrainee(t *testing.T, model, examples string, saveEvery int) *trainee {
	adapter := filepath.Join(t.TempDir(), "adapter")
	return &trainee{adapter: adapter, args: []string{"train", examples, "--model", model, "-o", adapter, "--threads", "1",
		"--batch", "2", "--steps", "40", "--rank", "2", "--k", "1", "--marks", "--save-every", fmt.Sprint(saveEvery)}}
}

// start starts the command.
func (r *trainee) start(t *testing.T) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, r.args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	r.stderr.Reset()
	cmd.Stderr = &r.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// lines returns how many the log has.
func (r *trainee) lines() int {
	log, _ := os.ReadFile(filepath.Join(r.adapter+".training", "train.jsonl")) // none yet
	return bytes.Count(log, []byte("\n"))
}

// interrupt waits until the log has so many lines and some microseconds more, unless
// the command ends before, sends the signal, and returns how the command ended.
func (r *trainee) interrupt(cmd *exec.Cmd, lines int, more time.Duration, signal os.Signal) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Millisecond):
		}
		if r.lines() >= lines {
			time.Sleep(more)
			cmd.Process.Signal(signal) // where it has ended, Wait says how
			return <-ended
		}
	}
}

// finish runs the command to its end and holds what it leaves to one run's.
func (r *trainee) finish(t *testing.T, want map[string]string) {
	t.Helper()
	if err := r.start(t).Wait(); err != nil {
		t.Fatalf("going on: %v\n%s", err, r.stderr.String())
	}
	got := r.made(t)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is not that of one run", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, one run makes %d", len(got), len(want))
	}
}

// made returns the adapter's files, and the log without times, by name.
func (r *trainee) made(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(r.adapter)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.adapter, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	records, err := train.ReadLog(filepath.Join(r.adapter+".training", "train.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		records[i].Seconds = 0
	}
	files["the log"] = fmt.Sprint(records)
	return files
}

// TestKilledTraining kills a training at random moments until one run comes to its end:
// what stands then is bit for bit what a training leaves that nobody killed.
func TestKilledTraining(t *testing.T) {
	model := tinyModel(t, 1)
	examples := tinyExamples(t, model)
	whole := newTrainee(t, model, examples, 3)
	if err := whole.start(t).Wait(); err != nil {
		t.Fatalf("%v\n%s", err, whole.stderr.String())
	}
	want := whole.made(t)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newTrainee(t, model, examples, 3)
	kills := 0
	for {
		// A step or a checkpoint takes about a millisecond, a start some tens.
		lines, more := r.lines()+random.IntN(9), time.Duration(random.IntN(30_000))*time.Microsecond
		err := r.interrupt(r.start(t), lines, more, os.Kill)
		if err == nil {
			break
		}
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Exited() { // by itself, with an error
			t.Fatalf("after %d kills: %v\n%s", kills, err, r.stderr.String())
		}
		if kills++; kills == 1000 {
			t.Fatal("no run comes to its end")
		}
	}
	t.Logf("%d kills", kills)
	r.finish(t, want) // the last run may have been killed between the two
}

// TestInterruptedTraining sends the signals of Ctrl-C and of a service that is stopped: a
// checkpoint of the step under way is written, and the same command goes on from it.
func TestInterruptedTraining(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be sent signals there")
	}
	model := tinyModel(t, 1)
	examples := tinyExamples(t, model)
	whole := newTrainee(t, model, examples, 1000)
	if err := whole.start(t).Wait(); err != nil {
		t.Fatalf("%v\n%s", err, whole.stderr.String())
	}
	want := whole.made(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		r := newTrainee(t, model, examples, 1000) // no checkpoint but that of the signal
		err := r.interrupt(r.start(t), 3, 0, signal)
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 130 || !strings.Contains(r.stderr.String(), "goes on from the checkpoint") {
			t.Fatalf("%v: ended with %v\n%s", signal, err, r.stderr.String())
		}
		if checkpoints, _ := filepath.Glob(filepath.Join(r.adapter+".training", "checkpoints", "*.ckpt")); len(checkpoints) != 1 {
			t.Errorf("%v: checkpoints %v", signal, checkpoints)
		}
		r.finish(t, want)
		if !strings.Contains(r.stderr.String(), "going on at step") {
			t.Errorf("%v: it began anew\n%s", signal, r.stderr.String())
		}
	}
}
