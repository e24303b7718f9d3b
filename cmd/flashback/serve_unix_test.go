//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// served is a server in a process of its own.
type served struct {
	*exec.Cmd
	address string
	log     *syncBuffer
}

// syncBuffer is a buffer that one goroutine writes while another reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var servingAt = regexp.MustCompile(`Serving \S+ at http://([0-9.:]+)/v1`)

// startServer starts a server of a tiny model.
func startServer(t *testing.T, args ...string) *served {
	t.Helper()
	s := &served{log: &syncBuffer{}}
	s.Cmd = exec.Command(os.Args[0], append([]string{"serve", "--model", tinyModel(t, 1), "--listen", "127.0.0.1:0"}, args...)...)
	s.Env = append(os.Environ(), asCommand+"=1")
	s.Stderr = s.log
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill(); s.Wait() })
	for wait := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if at := servingAt.FindStringSubmatch(s.log.String()); at != nil {
			s.address = at[1]
			return s
		}
		if time.Since(wait) > time.Minute {
			t.Fatalf("the server does not come up: %s", s.log)
		}
	}
}

// hang makes a request whose body does not come.
func (s *served) hang(t *testing.T) {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	if n, err := c.Read(make([]byte, 100)); err != nil || n == 0 { // it says that it waits for the body
		t.Fatal(err)
	}
}

// A server that is told to end ends well; told twice it ends at once, whatever it does.
func TestServeSignals(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		s := startServer(t)
		s.Process.Signal(signal)
		if err := s.Wait(); err != nil {
			t.Errorf("%v: an idle server ends with %v: %s", signal, err, s.log)
		}
	}
	s := startServer(t, "--shutdown-timeout", "50ms")
	s.hang(t)
	s.Process.Signal(syscall.SIGTERM)
	if err := s.Wait(); err != nil || !strings.Contains(s.log.String(), "cut off") {
		t.Errorf("a server that cuts a request off ends with %v: %s", err, s.log)
	}
	s = startServer(t, "--shutdown-timeout", "10m")
	s.hang(t)
	s.Process.Signal(syscall.SIGTERM)
	for !strings.Contains(s.log.String(), "ending") {
		time.Sleep(5 * time.Millisecond)
	}
	again := time.AfterFunc(0, func() {
		for s.Process.Signal(syscall.SIGTERM) == nil { // the first may be under way still
			time.Sleep(50 * time.Millisecond)
		}
	})
	defer again.Stop()
	s.Wait()
	if state := s.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() || state.Signal() != syscall.SIGTERM {
		t.Errorf("told twice, the server ends with %v: %s", s.ProcessState, s.log)
	}
}
