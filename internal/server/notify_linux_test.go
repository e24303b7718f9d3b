package server

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// systemd is told when the server is ready, not before, and when it begins to end.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	told := func(patience time.Duration) string {
		var b [64]byte
		systemd.SetReadDeadline(time.Now().Add(patience))
		n, err := systemd.Read(b[:])
		if err != nil {
			return err.Error()
		}
		return string(b[:n])
	}
	loaded := make(chan struct{})
	f := run(t, time.Second, func() (*Server, error) { <-loaded; return serve(t, &fake{}), nil })
	if status, _, _ := f.ask("GET", "/health", ""); status != 200 {
		t.Fatalf("/health: %d", status)
	}
	if got := told(10 * time.Millisecond); got == "READY=1" {
		t.Error("it is ready before it has a model")
	}
	close(loaded)
	if got := told(10 * time.Second); got != "READY=1" {
		t.Errorf("told %q", got)
	}
	if status, _, _ := f.ask("GET", "/ready", ""); status != 200 {
		t.Errorf("/ready: %d", status)
	}
	f.stop()
	if got := told(10 * time.Second); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
	if err := <-f.ended; err != nil {
		t.Error(err)
	}
}
