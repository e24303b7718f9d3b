package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// writing returns how many tokens a second n clients are written in all, in a while. Each
// asks for text of a prompt of its own.
func (s *server) writing(n int, model string, long time.Duration) float64 {
	ctx, stop := context.WithTimeout(context.Background(), long)
	defer stop()
	var tokens atomic.Int64
	var asking sync.WaitGroup
	for i := range n {
		asking.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				r, _ := s.ask(ctx, "/v1/completions", object{"model": model, "prompt": fmt.Sprintf("Client %d, part %d: a placement is", i, turn), "max_tokens": 128, "ignore_eos": true, "temperature": 0})
				if r != nil {
					tokens.Add(int64(len(r.tokens)))
				}
			}
		})
	}
	asking.Wait()
	return float64(tokens.Load()) / long.Seconds()
}

// scale compares eight clients with one, in turns.
func scale(s *server, out *report, _ time.Duration) {
	for _, model := range []string{"smollm2-135m", "smollm2-135m@docs"} {
		fmt.Printf("one client and eight, %s\n", model)
		var one, eight []float64
		for range 3 {
			one = append(one, s.writing(1, model, 4*time.Second))
			eight = append(eight, s.writing(8, model, 4*time.Second))
		}
		a, b := median(one), median(eight)
		out.want(b >= 2.5*a, "%.0f and %.0f tokens/s: %.2f times, of medians of 3 (%.0f; %.0f)", a, b, b/a, one, eight)
	}
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// prefill has a prompt of 7,000 tokens read while one client is written to, another asks
// briefly, and /health is looked at.
func prefill(s *server, out *report, _ time.Duration) {
	fmt.Println("beside a prompt of 7,000 tokens")
	var first, gaps, health []time.Duration
	for round := range 3 {
		ctx, stop := context.WithCancel(context.Background())
		var beside sync.WaitGroup
		var written *reply
		beside.Go(func() {
			written, _ = s.ask(ctx, "/v1/completions", object{"model": "smollm2-135m", "prompt": "A stride is", "max_tokens": 2000, "ignore_eos": true, "temperature": 0})
		})
		time.Sleep(time.Second)
		r := rand.New(rand.NewPCG(uint64(round), uint64(time.Now().UnixNano())))
		prompt := make([]int, 7000)
		for i := range prompt {
			prompt[i] = 1000 + r.IntN(40000)
		}
		began, done := time.Now(), make(chan struct{})
		var end time.Time
		go func() {
			defer close(done)
			if r, err := s.ask(ctx, "/v1/completions", object{"model": "smollm2-135m", "prompt": prompt, "max_tokens": 1}); err != nil || r.status != http.StatusOK {
				out.want(false, "the long prompt was not read: %v %+v", err, r)
			}
			end = time.Now()
		}()
		beside.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
				}
				a, err := s.ask(ctx, "/v1/chat/completions", object{"model": "smollm2-135m", "messages": []object{{"role": "user", "content": fmt.Sprintf("Hello %d", i)}}, "max_tokens": 4})
				if err == nil && len(a.tokens) > 0 {
					first = append(first, a.tokens[0].Sub(a.sent))
				}
			}
		})
		beside.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				asked := time.Now()
				if answer, err := client.Get(s.url + "/health"); err == nil {
					answer.Body.Close()
					health = append(health, time.Since(asked))
				}
			}
		})
		<-done
		stop()
		beside.Wait()
		if written != nil {
			for i := 1; i < len(written.tokens); i++ {
				if written.tokens[i-1].After(began) && written.tokens[i].Before(end) {
					gaps = append(gaps, written.tokens[i].Sub(written.tokens[i-1]))
				}
			}
		}
		out.say("round %d: read in %s", round+1, ms(end.Sub(began)))
	}
	out.want(len(first) > 0 && quantile(first, 1) <= time.Second, "a short request's first token: at most %s, of %d", ms(quantile(first, 1)), len(first))
	half, most := quantile(gaps, 0.5), quantile(gaps, 0.99)
	out.want(len(gaps) > 0 && most <= 3*half && most <= 400*time.Millisecond, "between tokens: p50 %s, p99 %s, of %d", ms(half), ms(most), len(gaps))
	out.want(len(health) > 0 && quantile(health, 0.99) <= 10*time.Millisecond, "/health: p99 %s, of %d", ms(quantile(health, 0.99)), len(health))
}

// slow has 16 clients read 1 kB a second and 4 nothing, beside four that are measured with
// and without them, in turns.
func slow(s *server, out *report, _ time.Duration) {
	fmt.Println("16 readers of 1 kB/s and 4 that have stopped, beside four clients")
	var without, with []float64
	for range 3 {
		without = append(without, s.writing(4, "smollm2-135m", 4*time.Second))
		ctx, stop := context.WithCancel(context.Background())
		var reading sync.WaitGroup
		for i := range 20 {
			pause := time.Second
			if i >= 16 {
				pause = time.Hour
			}
			reading.Go(func() { s.dawdle(ctx, i, pause) })
		}
		// What they asked for is to be written, and only the reading left.
		time.Sleep(2 * time.Second)
		for end := time.Now().Add(time.Minute); s.props("requests_running")+s.props("requests_waiting") > 0 && time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
		}
		with = append(with, s.writing(4, "smollm2-135m", 4*time.Second))
		stop()
		reading.Wait()
	}
	a, b := median(without), median(with)
	out.want(b >= 0.9*a, "%.0f tokens/s without them and %.0f with: %.1f %% less (%.0f; %.0f)", a, b, 100*(1-b/a), without, with)
}

// dawdle asks for a text and reads 1 kB of it after each pause.
func (s *server) dawdle(ctx context.Context, i int, pause time.Duration) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	body := fmt.Sprintf(`{"model": "smollm2-135m", "prompt": "Reader %d:", "max_tokens": 100, "ignore_eos": true, "stream": true}`, i)
	request, _ := http.NewRequest("POST", s.url+"/v1/completions", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if request.Write(conn) != nil {
		return
	}
	piece := make([]byte, 1<<10)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if n, err := conn.Read(piece); n == 0 || err != nil {
			return
		}
	}
}
