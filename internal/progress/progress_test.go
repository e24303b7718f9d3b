package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestSilentOffTerminal(t *testing.T) {
	var out bytes.Buffer
	b := New(&out, "work", 10, false)
	b.Add(5)
	b.Finish()
	if out.Len() != 0 {
		t.Errorf("wrote %q to what is no terminal", out.String())
	}
}

func TestBarAppearsLate(t *testing.T) {
	var early, late bytes.Buffer
	b := newBar(&lateWriter{&early, time.Now().Add(time.Hour)}, "work", 10, true)
	b.Add(5)
	b.Finish()
	if early.Len() != 0 {
		t.Errorf("short work shows %q", early.String())
	}
	b = newBar(&lateWriter{&late, time.Now()}, "work", 10, true)
	b.Write(make([]byte, 5))
	b.Finish()
	if s := late.String(); !strings.Contains(s, "work") || !strings.Contains(s, "50%") {
		t.Errorf("long work shows %q, want its label and 50%%", s)
	}
}
