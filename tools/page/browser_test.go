// Package page tries the server's page in a browser, as people use it: journeys in
// Chromium, on a server of the default model and a few notes. Where there is no Chromium
// they are skipped. With FLASHBACK_SHOTS each leaves a picture in that folder, and with
// FLASHBACK_AXE, the file axe.min.js of axe-core, each ends with a search for barriers.
package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// site is a server that answers from the notes in testdata.
type site struct {
	binary, dir, address string
	process              *exec.Cmd
}

// open builds the program, indexes the notes and serves them, with more flags.
func open(t *testing.T, flags ...string) *site {
	t.Helper()
	hubtest.Model(t) // or skip
	dir := t.TempDir()
	s := &site{binary: filepath.Join(dir, "flashback"), dir: dir}
	command(t, "go", "build", "-o", s.binary, "github.com/flashback-lm/flashback/cmd/flashback")
	command(t, s.binary, "index", "testdata/notes", "-o", filepath.Join(dir, "notes.index"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	l.Close()
	s.start(t, flags...)
	t.Cleanup(func() { s.stop() })
	return s
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), args, err, out)
	}
}

// start starts the server, and waits until it is ready.
func (s *site) start(t *testing.T, flags ...string) {
	t.Helper()
	args := append([]string{"serve", "--listen", s.address, "--index", "notes=" + filepath.Join(s.dir, "notes.index"), "--library", filepath.Join(s.dir, "library"), "--tokens", "64"}, flags...)
	s.process = exec.Command(s.binary, args...)
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if r, err := http.Get("http://" + s.address + "/ready"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the server is not ready: %s", said)
		}
	}
}

// stop kills the server.
func (s *site) stop() {
	s.process.Process.Kill()
	s.process.Wait()
}

// browser returns the context of a Chromium.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium to look at the page with: install the package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium takes none from root
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if _, err := chromedp.Run(ctx, chromedp.Title()); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return ctx
}

// action is one that tells nothing.
type action = chromedp.Action[chromedp.Void]

// tab is a page of its own, with nothing of the others'.
type tab struct {
	*testing.T
	ctx context.Context
	mu  sync.Mutex
	// wrong is what the browser complained of: faults of scripts, and what the policy refused.
	wrong    []string
	expected string // a part of complaints that are expected
}

// patience is how long something on the page may take to come.
const patience = time.Minute

// visit opens the page in a window of a size.
func visit(t *testing.T, browser context.Context, url string, width, height int64, before ...action) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			said := e.ExceptionDetails.Text
			if e.ExceptionDetails.Exception != nil {
				said += " " + e.ExceptionDetails.Exception.Description
			}
			b.wrong = append(b.wrong, said)
		case *cdplog.EventEntryAdded:
			if e.Entry.Level == cdplog.EntryLevelError {
				b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrong {
			if b.expected == "" || !strings.Contains(w, b.expected) {
				t.Errorf("the browser complains: %s", w)
			}
		}
	})
	b.do(append([]action{enabled(cdplog.Enable), chromedp.EmulateViewport(width, height)}, before...)...)
	b.do(chromedp.Navigate(url))
	b.until("document.querySelector('main > *') !== null")
	return b
}

// do runs actions.
func (b *tab) do(actions ...action) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatalf("%v", err)
	}
}

// told runs an action that tells something.
func told[T any](b *tab, a chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.Fatalf("%v", err)
	}
	return v
}

// get evaluates an expression.
func get[T any](b *tab, expression string) T {
	b.Helper()
	return told(b, chromedp.Evaluate[T](expression))
}

// until waits until an expression is true.
func (b *tab) until(expression string) {
	b.Helper()
	for deadline := time.Now().Add(patience); !get[bool](b, "Boolean("+expression+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.shot("late")
			b.Fatalf("it did not come that %s; the page says %.800q", expression, get[string](b, "document.body.innerText"))
		}
	}
}

// text returns what an element says.
func (b *tab) text(selector string) string {
	b.Helper()
	return get[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// says fails unless an element says something.
func (b *tab) says(selector, what string) {
	b.Helper()
	if got := b.text(selector); !strings.Contains(got, what) {
		b.Errorf("%s says %q, not %q", selector, got, what)
	}
}

// click clicks the button of a name.
func (b *tab) click(within, name string) {
	b.Helper()
	b.do(chromedp.Click(chromedp.Search(fmt.Sprintf("//%s//button[normalize-space()=%q or @aria-label=%q]", within, name, name))))
}

// ask asks a question and waits for the answer.
func (b *tab) ask(question string) {
	b.Helper()
	b.begin(question)
	b.until("document.querySelector('.turn:last-child:not([aria-busy]) .foot')?.textContent")
}

// begin asks a question.
func (b *tab) begin(question string) {
	b.Helper()
	turns := get[int](b, "document.querySelectorAll('.turn').length")
	b.do(chromedp.SendKeys(chromedp.CSS(".ask textarea"), question+"\r"))
	b.until(fmt.Sprintf("document.querySelectorAll('.turn').length > %d", turns))
}

// hover points at an element.
func (b *tab) hover(selector string) {
	b.Helper()
	b.do(chromedp.ScrollIntoView(chromedp.CSS(selector)))
	at := get[struct{ X, Y float64 }](b, fmt.Sprintf("(() => { const r = document.querySelector(%q).getClientRects()[0]; return {X: r.x + r.width / 2, Y: r.y + r.height / 2} })()", selector))
	b.do(chromedp.MouseEvent("mouseMoved", at.X, at.Y))
}

// choose picks an option of the control with a label.
func (b *tab) choose(label, value string) {
	b.Helper()
	ok := get[bool](b, fmt.Sprintf(`(() => {
		const s = [...document.querySelectorAll("main label")].find((l) => l.innerText.startsWith(%q)).querySelector("select");
		s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})); return s.value === %[2]q })()`, label, value))
	if !ok {
		b.Errorf("%s has no option %q", label, value)
	}
}

// finish takes a picture and looks for barriers.
func (b *tab) finish(name string) {
	b.Helper()
	b.shot(name)
	b.axe()
}

// shot takes a picture where they are wanted.
func (b *tab) shot(name string) {
	b.Helper()
	dir := os.Getenv("FLASHBACK_SHOTS")
	if dir == "" {
		return
	}
	picture := told(b, chromedp.CaptureScreenshot())
	if err := os.MkdirAll(dir, 0o777); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o666); err != nil {
		b.Fatal(err)
	}
}

// axe has axe-core look for barriers.
func (b *tab) axe() {
	b.Helper()
	path := os.Getenv("FLASHBACK_AXE")
	if path == "" {
		return
	}
	source, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	get[bool](b, string(source)+"; true")
	found := told(b, chromedp.Evaluate[string](`axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) => JSON.stringify({
		passes: r.passes.length, violations: r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.html.slice(0, 200) + " " + n.any.map((a) => a.message).join("; ")).join(" | "))}))`,
		chromedp.EvalAwaitPromise))
	var r struct {
		Passes     int
		Violations []string
	}
	if err := json.Unmarshal([]byte(found), &r); err != nil || r.Passes < 10 {
		b.Fatalf("axe: %v: %s", err, found)
	}
	for _, v := range r.Violations {
		b.Errorf("axe: %s", v)
	}
}

// prefer sets what a person prefers, as prefers-color-scheme to dark.
func prefer(feature, value string) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
		return err
	})
}

// enabled has the browser tell events of a domain.
func enabled(domain cdp.Command[cdp.Empty, cdp.Empty]) action {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, domain, cdp.Empty{})
		return err
	})
}
