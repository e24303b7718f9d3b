package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// admit enters as a request that leaves when it is told to.
func enter(a *admission, ctx context.Context, k *Key, need int) (leave func(), done chan error) {
	leaving, done := make(chan struct{}), make(chan error, 1)
	go func() {
		leave, err := a.enter(ctx, k, need)
		if err == nil {
			<-leaving
			leave()
		}
		done <- err
	}()
	synctest.Wait()
	return func() { close(leaving); synctest.Wait() }, done
}

func code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Requests run as long as there is room, in the order of their coming, and are refused
// where too many wait, one waits too long, or the server is about to end.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(&Options{MaxQueue: 3, QueueTime: time.Minute, PerKey: 9}, 100)
		load := func(running, waiting int) {
			t.Helper()
			if r, w := a.load(); r != running || w != waiting {
				t.Errorf("%d run and %d wait, want %d and %d", r, w, running, waiting)
			}
		}
		ctx := context.Background()
		first, _ := enter(a, ctx, nil, 60)
		large, _ := enter(a, ctx, nil, 70) // waits
		small, _ := enter(a, ctx, nil, 10) // comes after it
		load(1, 2)
		gone, cancel := context.WithCancel(ctx)
		_, left := enter(a, gone, nil, 10)
		load(1, 3)
		if _, err := a.enter(ctx, nil, 1); code(err) != "queue_full" {
			t.Errorf("a fifth: %v", err)
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("a client that went: %v", err)
		}
		load(1, 2)
		first()
		load(2, 0)
		_, late := enter(a, ctx, nil, 1000) // needs more than there is: it would run alone
		time.Sleep(time.Second)
		last, _ := enter(a, ctx, nil, 1)
		load(2, 2)
		time.Sleep(time.Minute - time.Second)
		if err := <-late; code(err) != "queue_timeout" {
			t.Errorf("one that waited: %v", err)
		}
		synctest.Wait()
		load(3, 0) // what waited behind it needs less
		for _, leave := range []func(){small, large, last} {
			leave()
		}
		load(0, 0)
		a.drain()
		if _, err := a.enter(ctx, nil, 1); code(err) != "draining" || !a.drains() {
			t.Errorf("at the end: %v", err)
		}
		if a.free != a.limit {
			t.Errorf("%d of %d tokens are free", a.free, a.limit)
		}
	})
}

// One that needs the whole budget runs when all others have ended.
func TestAdmissionOfTheHuge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(&Options{MaxQueue: 3, QueueTime: time.Minute, PerKey: 9}, 100)
		first, _ := enter(a, context.Background(), nil, 1)
		huge, done := enter(a, context.Background(), nil, 1000)
		first()
		if running, waiting := a.load(); running != 1 || waiting != 0 {
			t.Errorf("%d run and %d wait", running, waiting)
		}
		huge()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A key has so many requests under way at most; others do not suffer by it.
func TestAdmissionOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(&Options{MaxQueue: 9, QueueTime: time.Minute, PerKey: 2}, 100)
		alice, bob := &Key{Name: "alice"}, &Key{Name: "bob"}
		one, _ := enter(a, context.Background(), alice, 80)
		two, _ := enter(a, context.Background(), alice, 80)
		if _, err := a.enter(context.Background(), alice, 1); code(err) != "too_many_requests" {
			t.Errorf("a third: %v", err)
		}
		three, _ := enter(a, context.Background(), bob, 1)
		if own := a.slots(alice); len(own) != 2 || own[0].State != "running" || own[1].State != "waiting" {
			t.Errorf("slots of alice: %+v", own)
		}
		if own := a.slots(bob); len(own) != 1 {
			t.Errorf("slots of bob: %+v", own)
		}
		for _, leave := range []func(){one, two, three} {
			leave()
		}
	})
}
