package page

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestFirstToken tells how much later the first words of an answer stand on the page than
// a client of the API has them. It measures, and fails nothing: a machine may be busy.
func TestFirstToken(t *testing.T) {
	if os.Getenv("FLASHBACK_TIMES") == "" {
		t.Skip("it takes a quiet machine: set FLASHBACK_TIMES=1")
	}
	b := browser(t)
	s := open(t)
	v := visit(t, b, "http://"+s.address+"/", wide, high)
	ask := func(i int) string { return fmt.Sprintf("How deep is the harbour at low tide in the year %d?", 1700+i) }
	var api, page []float64
	for i := range 40 { // questions that differ, so that neither finds the other's read already
		if i%2 == 0 {
			api = append(api, firstOfAPI(t, s.address, ask(i)))
			continue
		}
		v.do(chromedp.Evaluate[chromedp.Void](`void (() => {
			document.querySelector("textarea").addEventListener("keydown", (e) => { if (e.key === "Enter") window.began = performance.now(); }, { capture: true });
			const seen = new MutationObserver(() => {
				if (!document.querySelector(".turn .text")?.textContent) return;
				seen.disconnect();
				requestAnimationFrame(() => { window.first = performance.now() - began; }); // when it is painted
			});
			window.first = 0;
			seen.observe(document.querySelector(".turns"), { subtree: true, childList: true, characterData: true });
		})()`))
		v.ask(ask(i))
		page = append(page, get[float64](v, "first"))
		v.click("form", "New conversation")
	}
	median := func(times []float64) float64 { slices.Sort(times); return times[len(times)/2] }
	a, p := median(api[1:]), median(page[1:])
	t.Logf("first words, medians of %d: %.0f ms by the API, %.0f ms on the page, %.0f ms later", len(page)-1, a, p, p-a)
}

// firstOfAPI returns after how many milliseconds a client has the first words.
func firstOfAPI(t *testing.T, address, question string) float64 {
	t.Helper()
	body := fmt.Sprintf(`{"model": "smollm2-135m@notes", "stream": true, "messages": [{"role": "user", "content": %q}]}`, question)
	began := time.Now()
	r, err := http.Post("http://"+address+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	first := 0.0
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var c struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		data := strings.TrimPrefix(lines.Text(), "data: ")
		if json.Unmarshal([]byte(data), &c) == nil && first == 0 && len(c.Choices) > 0 && c.Choices[0].Delta.Content != "" {
			first = float64(time.Since(began).Microseconds()) / 1000
		}
	}
	if first == 0 {
		t.Fatal("there are no words")
	}
	return first
}
