package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// conversation is a chat that clients have: what it asks, of what, and how.
type conversation struct {
	model, placement string
	stride, tokens   int
	questions        []string
}

var subjects = []string{"the key-value cache", "placements of passages", "a stride", "the adapter", "an index", "the tokenizer", "compute paths", "the chat template", "training", "evidence", "a span", "hostile input"}

// conversations are n that differ.
func conversations(n int) []conversation {
	r := rand.New(rand.NewPCG(3, 4))
	of := func(words ...string) string { return words[r.IntN(len(words))] }
	all := make([]conversation, n)
	for i := range all {
		c := conversation{model: "smollm2-135m" + of("", "+none", "+answers") + of("@docs", "@examples", "@docs", ""), stride: []int{8, 16}[r.IntN(2)], tokens: 16 + 8*r.IntN(4)}
		if c.model[len(c.model)-1] == 's' && c.model != "smollm2-135m+answers" {
			c.placement = of("", "virtual", "in-turn", "append", "prepend")
		}
		for range 1 + r.IntN(4) {
			c.questions = append(c.questions, fmt.Sprintf(of("What is %s?", "Say more of %s.", "Why is there %s?", "Compare it with %s."), of(subjects...)))
		}
		all[i] = c
	}
	return all
}

// have asks the questions of a conversation one after the other and calls each with what
// came, until one fails or is refused, or nothing more is to be asked.
func (s *server) have(c conversation, more func() bool, each func(turn int, r *reply, err error)) {
	var messages []object
	for turn, question := range c.questions {
		if !more() {
			return
		}
		messages = append(messages, object{"role": "user", "content": question})
		body := object{"model": c.model, "messages": messages, "max_tokens": c.tokens, "temperature": 0}
		if c.placement != "" {
			body["flashback"] = object{"placement": c.placement, "stride": c.stride}
		}
		r, err := s.ask(context.Background(), "/v1/chat/completions", body)
		each(turn, r, err)
		if err != nil || r.declared() {
			return
		}
		messages = append(messages, object{"role": "assistant", "content": r.text})
	}
}

// mixed has 64 clients ask for a while. Each answer is to be the one that the same question
// has alone, nothing is to stay, and memory is not to grow once the KV budget is full.
func mixed(s *server, out *report, long time.Duration) {
	const clients = 64
	fmt.Printf("%d clients for %v\n", clients, long)
	all := conversations(24)
	type question struct{ conversation, turn int }
	var mu sync.Mutex
	texts, outcomes, faults, differ := map[question]string{}, map[string]int{}, []string{}, 0
	hear := func(i int) func(int, *reply, error) {
		return func(turn int, r *reply, err error) {
			mu.Lock()
			defer mu.Unlock()
			switch q := (question{i, turn}); {
			case err != nil:
				outcomes["fault"]++
				faults = append(faults, fmt.Sprintf("%+v, turn %d: %v", all[i], turn, err))
			case r.declared():
				outcomes[r.code]++
			default:
				outcomes[r.finish]++
				if before, ok := texts[q]; ok && before != r.text {
					differ++
					faults = append(faults, fmt.Sprintf("%+v, turn %d: %q and %q", all[i], turn, before, r.text))
				}
				texts[q] = r.text
			}
		}
	}
	always := func() bool { return true }
	s.have(all[0], always, hear(0))
	client.CloseIdleConnections()
	time.Sleep(time.Second)
	goroutines, files := s.goroutines(), s.files()

	end := time.Now().Add(long)
	before := func() bool { return time.Now().Before(end) }
	var asking sync.WaitGroup
	for n := range clients {
		asking.Go(func() {
			r := rand.New(rand.NewPCG(5, uint64(n)))
			for before() {
				i := r.IntN(len(all))
				s.have(all[i], before, hear(i))
			}
		})
	}
	memory, warm := 0, false
	for before() {
		time.Sleep(time.Second)
		// Warm is when the whole budget has been in use and a quarter of the time is over.
		if !warm && time.Until(end) < long*3/4 && s.props("kv_pages_peak") == s.props("kv_pages") {
			memory, warm = s.proc("RssAnon", "VmSwap"), true
		}
	}
	asking.Wait()
	grown := s.proc("RssAnon", "VmSwap") - memory
	began := time.Now()
	settled := func() bool {
		client.CloseIdleConnections()
		return s.goroutines() <= goroutines && s.files() <= files+1 && s.props("kv_pages_used") == s.props("kv_pages_kept")
	}
	done := settled()
	for !done && time.Since(began) < 5*time.Second {
		time.Sleep(50 * time.Millisecond)
		done = settled()
	}
	out.want(done, "after %v: %d goroutines, %d at first; %d descriptors, %d at first; %d pages in use, %d of them kept for texts to come",
		time.Since(began).Round(time.Millisecond), s.goroutines(), goroutines, s.files(), files, s.props("kv_pages_used"), s.props("kv_pages_kept"))
	out.want(outcomes["fault"] == 0, "ends: %v", outcomes)
	if warm {
		out.want(grown <= 16<<10, "memory grew by %d kB from %d kB when the KV budget was full", grown, memory)
	} else {
		out.want(false, "the KV budget did not become full: measure for longer")
	}
	asked := len(texts)
	for i := range all {
		s.have(all[i], always, hear(i))
	}
	out.want(differ == 0, "%d questions were asked under load, and alone afterwards: %d answers differ", asked, differ)
	for _, f := range faults[:min(5, len(faults))] {
		out.say("%.300s", f)
	}
}
