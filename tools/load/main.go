// Load puts a server under load and says what came of it: many clients at once, one beside
// eight, a long prompt beside short requests, and readers that are slow. It starts a server
// of its own on two indexes of this repository, and ends with 1 where something is not as
// wanted.
//
//	go build -o flashback ./cmd/flashback
//	go run ./tools/load --flashback ./flashback                       # all, a quarter of an hour
//	go run ./tools/load --flashback ./flashback --parts mixed --time 1m
//
// Run it from the root of the repository, and nothing else beside it.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// parts are what can be measured, in this order.
var parts = []struct {
	name string
	run  func(*server, *report, time.Duration)
}{{"scale", scale}, {"prefill", prefill}, {"slow", slow}, {"mixed", mixed}}

func main() {
	log.SetFlags(0)
	log.SetPrefix("load: ")
	program := flag.String("flashback", "./flashback", "the program")
	chosen := flag.String("parts", "scale,prefill,slow,mixed", "what is measured")
	long := flag.Duration("time", 10*time.Minute, "how long the mixed load takes; the other parts take up to a minute each")
	threads := flag.Int("threads", runtime.NumCPU(), "threads of the server")
	flag.Parse()
	s, err := start(*program, *threads)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %d threads, load %s\n", time.Now().UTC().Format(time.DateOnly), *threads, firstLine("/proc/loadavg"))
	r := &report{}
	names := strings.Split(*chosen, ",")
	for _, p := range parts {
		if slices.Contains(names, p.name) {
			p.run(s, r, *long)
		}
	}
	s.stop()
	if r.failed {
		os.Exit(1)
	}
}

// report prints figures.
type report struct{ failed bool }

// say prints a figure that nothing is wanted of.
func (r *report) say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// want prints a figure and whether it is as wanted.
func (r *report) want(ok bool, format string, args ...any) {
	mark := "ok  "
	if !ok {
		mark, r.failed = "MISS", true
	}
	fmt.Printf("  %s %s\n", mark, fmt.Sprintf(format, args...))
}

// server is the process under load.
type server struct {
	url, dir string
	cmd      *exec.Cmd
}

// start makes the indexes and starts a server on them.
func start(program string, threads int) (*server, error) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--listen", "127.0.0.1:0", "--kv-budget", "256MB", "--threads", fmt.Sprint(threads), "--adapter", "answers=adapters/smollm2-135m-answers"}
	for _, folder := range []string{"docs", "examples"} {
		index := filepath.Join(dir, folder+".index")
		if out, err := exec.Command(program, "index", folder, "-o", index).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("index %s: %w: %s", folder, err, out)
		}
		args = append(args, "--index", folder+"="+index)
	}
	s := &server{dir: dir, cmd: exec.Command(program, args...)}
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		said, _ := os.ReadFile(out.Name())
		_, at, ok := strings.Cut(string(said), "http://")
		if !ok {
			continue
		}
		s.url = "http://" + at[:strings.IndexAny(at, "/ \"\n")]
		if answer, err := client.Get(s.url + "/ready"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == 200 {
				return s, nil
			}
		}
	}
	said, _ := os.ReadFile(out.Name())
	s.stop()
	return nil, fmt.Errorf("the server did not get ready within a minute: %s", said)
}

// stop ends the server and removes what was made for it.
func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// proc returns a number of the process's status, in kB, 0 where the system has none.
func (s *server) proc(names ...string) (kb int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		var n int
		name, value, _ := strings.Cut(line, ":")
		if slices.Contains(names, name) {
			fmt.Sscan(value, &n)
			kb += n
		}
	}
	return kb
}

// files returns how many descriptors are open.
func (s *server) files() int {
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	return len(open)
}

func firstLine(path string) string {
	data, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}
