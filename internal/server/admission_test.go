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

// Requests run as long as there is room, and are refused where too many wait, one waits
// too long, or the server is about to end.
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
		second, _ := enter(a, ctx, nil, 50)
		third, _ := enter(a, ctx, nil, 45)
		load(1, 2)
		gone, cancel := context.WithCancel(ctx)
		_, left := enter(a, gone, nil, 50)
		load(1, 3)
		if _, err := a.enter(ctx, nil, 50); code(err) != "queue_full" {
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
		load(2, 1)
		time.Sleep(time.Minute)
		if err := <-late; code(err) != "queue_timeout" {
			t.Errorf("one that waited: %v", err)
		}
		synctest.Wait()
		load(2, 0)
		second()
		third()
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

// Small requests pass a large one that waits, so many and no more: it runs before the
// others, however many come. What waits for it goes on when it gives up.
func TestAdmissionLetsTheSmallPass(t *testing.T) {
	for _, givesUp := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newAdmission(&Options{MaxQueue: 99, QueueTime: time.Minute, PerKey: 9}, 100)
			load := func(running, waiting int) {
				t.Helper()
				if r, w := a.load(); r != running || w != waiting {
					t.Errorf("%d run and %d wait, want %d and %d", r, w, running, waiting)
				}
			}
			first, _ := enter(a, context.Background(), nil, 50)
			large, refused := enter(a, context.Background(), nil, 80)
			time.Sleep(time.Second)
			var small []func()
			for range passes + 4 {
				leave, _ := enter(a, context.Background(), nil, 5)
				small = append(small, leave)
			}
			load(1+passes, 1+4) // though there is room for two more
			if givesUp {
				time.Sleep(time.Minute - time.Second)
				if err := <-refused; code(err) != "queue_timeout" {
					t.Errorf("the large one: %v", err)
				}
				synctest.Wait()
				load(1+passes+2, 2)
				first()
			} else {
				first()
				for _, leave := range small[:4] {
					leave()
				}
				load(passes-4+1, 4)
				large()
				small = small[4:]
			}
			load(len(small), 0)
			for _, leave := range small {
				leave()
			}
			if a.free != a.limit {
				t.Errorf("%d of %d tokens are free", a.free, a.limit)
			}
		})
	}
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
