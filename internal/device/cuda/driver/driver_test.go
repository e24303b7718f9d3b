package driver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	full := fmt.Errorf("loading: %w", OutOfMemory("cuMemAlloc"))
	lost := fmt.Errorf("a forward: %w", Lost("cuStreamSynchronize"))
	if !IsOutOfMemory(full) || IsLost(full) || IsOutOfMemory(lost) || !IsLost(lost) || IsLost(ErrNone) {
		t.Error("errors are not told apart")
	}
	if err := checkVersion(12020); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "12.2") || !strings.Contains(err.Error(), "update") {
		t.Errorf("an old driver is %v", err)
	}
	if err := checkVersion(13000); err != nil {
		t.Error(err)
	}
}

// TestOpen finds a card, or says why there is none.
func TestOpen(t *testing.T) {
	d, err := Open(0)
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	t.Logf("%+v", d.Info())
	if _, err := Open(1000); !errors.Is(err, ErrNone) {
		t.Errorf("card 1000 is %v", err)
	}
	s, err := d.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := d.Alloc(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free(p)
	from, err := d.Pinned(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Unpin(from)
	for i := range from {
		from[i] = byte(i * 7)
	}
	graph, err := s.Capture(func() error {
		return errors.Join(s.Zero(p, 1<<20), s.Upload(p, from[:1000]), s.Copy(p+1024, p, 512))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer graph.Close()
	if graph.Nodes() != 3 {
		t.Errorf("the graph has %d nodes, want 3", graph.Nodes())
	}
	if err := errors.Join(s.Run(graph), s.Sync()); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2048)
	if err := d.Read(got, p); err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		want := byte(0)
		switch {
		case i < 1000:
			want = byte(i * 7)
		case i >= 1024 && i < 1536:
			want = byte((i - 1024) * 7)
		}
		if b != want {
			t.Fatalf("byte %d is %d, want %d", i, b, want)
		}
	}
	if _, err := d.Alloc(d.Info().Memory * 2); !IsOutOfMemory(err) {
		t.Errorf("twice the memory is %v", err)
	}
}
