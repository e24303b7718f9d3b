package page

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const question = "Where does the spare key of the north tower hang?"

// wide and high are the window that most journeys are in.
const wide, high = 1280, 860

func TestJourneys(t *testing.T) {
	if testing.Short() {
		t.Skip("journeys in a browser take a minute")
	}
	b := browser(t)
	s := open(t)
	url := "http://" + s.address + "/"
	at := func(name string, journey func(*tab), before ...action) {
		t.Run(name, func(t *testing.T) {
			v := visit(t, b, url, wide, high, before...)
			journey(v)
			v.finish(name)
		})
	}

	at("01-welcome", func(v *tab) {
		v.says("h1", "Ask your documents")
		v.says("#model", "smollm2-135m")
		if focus := get[string](v, "document.activeElement.name"); focus != "question" {
			v.Errorf("the focus is in %q", focus)
		}
	})
	at("02-ask", func(v *tab) {
		v.ask(question)
		v.says(".turn .text", "kitchen door")
		v.says(".sources", "in sight of")
		v.says(".foot", "ms a token")
		if parts, text := get[string](v, "[...document.querySelectorAll('.part')].map((p) => p.textContent).join('')"), get[string](v, "document.querySelector('.text').textContent"); parts != text {
			v.Errorf("the parts %q are not the answer %q", parts, text)
		}
		if number := get[string](v, "getComputedStyle([...document.querySelectorAll('.part:not([hidden])')].at(-1), '::after').content"); number != `"1"` {
			v.Errorf("the answer ends with the number %s", number)
		}
		if n := get[int](v, "document.querySelectorAll('.part.hue-0').length"); n == 0 {
			v.Error("no part has a colour")
		}
	})
	at("03-follow-up", func(v *tab) {
		v.ask(question)
		v.ask("And who keeps the key of the boat house?")
		if n := get[int](v, "document.querySelectorAll('.turn').length"); n != 2 {
			v.Errorf("%d turns", n)
		}
		v.says(".turn:last-child .text", "harbour master")
	})
	at("03b-long-conversation", func(v *tab) {
		v.choose("Adapter", "none")
		for _, q := range []string{"Tell me all that is known of the tower clock.", "Tell me all that is known of the harbour.", "Tell me all that is known of the garden and of the kitchen."} {
			v.ask(q)
		}
		if over := get[float64](v, "document.querySelector('.turn:last-child .foot').getBoundingClientRect().bottom - document.querySelector('.composer').getBoundingClientRect().top"); over > 0 {
			v.Errorf("the end of the answer is %v pixels under the question's field", over)
		}
	})
	at("04-hover", func(v *tab) {
		v.ask(question)
		v.hover(".part")
		v.until("document.querySelector('.evidence .card')")
		v.says(".evidence h2", "Stride 1 of")
		v.says(".evidence .card", "New")
		v.says(".evidence .card .passage-text", "hangs behind the kitchen door")
		v.says(".evidence mark", "kitchen door")
	})
	at("04b-hover-while-it-is-written", func(v *tab) {
		v.choose("Adapter", "none")
		v.begin("Tell me all that is known of the tower clock.")
		v.until("document.querySelector('.part')")
		v.hover(".part")
		v.until("document.querySelector('.evidence .passage-text')?.textContent.includes('wound every Saturday')")
		v.until("document.querySelector('.turn:last-child:not([aria-busy]) .foot')?.textContent")
	})
	at("05-keep", func(v *tab) {
		v.ask(question)
		v.do(chromedp.Click(chromedp.CSS(".part")))
		v.do(chromedp.MouseEvent("mouseMoved", 5, 5))
		v.says(".evidence h2", "Stride 1 of")
		if pressed := get[string](v, "document.querySelector('.part').getAttribute('aria-pressed')"); pressed != "true" {
			v.Errorf("aria-pressed is %q", pressed)
		}
		v.click("aside", "Close")
		v.says(".evidence h2", "Passages in sight")
		v.do(chromedp.Click(chromedp.CSS(".part")))
	})
	at("06-influence", func(v *tab) {
		v.choose("Adapter", "none")
		v.choose("Passages", "2")
		v.ask(question)
		v.click("p[@class='foot']", "Measure influence")
		v.until("document.querySelector('.sources .nats')")
		v.hover(".part")
		v.until("document.querySelector('.evidence .card .nats')")
		v.says(".evidence .card .nats", "nats")
		v.says(".sources .heading", "Coloured by Influence")
	})
	at("07-explained", func(v *tab) {
		v.ask(question)
		v.do(chromedp.Focus(chromedp.CSS(".sources button.term")))
		v.until("getComputedStyle(document.querySelector('.sources .tip')).display === 'block'")
		v.says(".sources .tip", "That is certain")
		v.shot("07a-explained")
		v.do(chromedp.KeyEvent(kb.Escape))
		v.until("getComputedStyle(document.querySelector('.sources .tip')).display === 'none'")
		v.hover(".sources button.term")
		v.do(chromedp.MouseEvent("mouseMoved", 5, 5))
		v.hover(".sources button.term")
		v.until("getComputedStyle(document.querySelector('.sources .tip')).display === 'block'")
	})
	at("08-compare", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#compare"]`)), chromedp.SendKeys(chromedp.CSS(".compare textarea"), question+"\r"))
		v.until("document.querySelectorAll('.column .ms').length === 4 && document.querySelector('.compare .primary').textContent === 'Compare'")
		for i, name := range []string{"virtual", "append", "prepend", "none"} {
			column := ".column:nth-child(" + string(rune('1'+i)) + ")"
			v.says(column+" h2", name)
			v.says(column, "ms a token")
			if v.text(column+" .text") == "" {
				v.Errorf("%s has no answer", name)
			}
		}
		v.says(".column:nth-child(4)", "none")
	})
	at("08b-compare-in-conversation", func(v *tab) {
		v.ask("How deep is the harbour at low tide?")
		v.do(chromedp.Click(chromedp.CSS(`a[href="#compare"]`)), chromedp.SendKeys(chromedp.CSS(".compare textarea"), question+"\r"))
		v.says(".compare .after", "1 question so far")
		v.until("document.querySelectorAll('.column .ms').length === 4 && document.querySelector('.compare .primary').textContent === 'Compare'")
	})
	at("08c-compare-text", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#compare"]`)))
		v.choose("What is written", "text")
		v.do(chromedp.SetValue(chromedp.CSS(".compare textarea"), strings.Repeat("The keys of the house are kept with care. The clock is wound. The harbour is deep. ", 20)+"The spare key of the north tower"))
		v.click("form", "Compare")
		v.until("document.querySelectorAll('.column .ms').length === 4 && document.querySelector('.compare .primary').textContent === 'Compare'")
		v.says(".column:nth-child(3)", "computed")
		v.says(".column:nth-child(3) .text", " ")
	})
	at("09-upload", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)), chromedp.SetUploadFiles(chromedp.CSS("#files"), []string{file(v.T, "harvest.md", "# Harvest\n\nThe last cart of barley came in on the third of October, drawn by two grey horses.\n")}))
		v.until("document.querySelector('.uploads')?.innerText.includes('is in the index')")
		v.until("document.querySelector('tbody')?.innerText.includes('harvest.md')")
		v.do(chromedp.Click(chromedp.CSS(`a[href="#ask"]`)))
		v.ask("Which animals drew the last cart of barley?")
		v.says(".turn .text", "horses")
		v.says(".sources", "Harvest")
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('tbody')?.innerText.includes('harvest.md')")
	})
	at("10-look-up", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('tbody')?.innerText.includes('clock.md')")
		v.do(chromedp.SendKeys(chromedp.CSS(`input[type="search"]`), "tower clock wound\r"))
		v.until("document.querySelector('.found li')")
		v.says(".found li", "wound every Saturday")
	})
	at("11-verify", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('tbody tr th')")
		v.click("header", "Verify")
		v.until("document.querySelector('.told')?.innerText.includes('Good')")
	})
	at("12-delete", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('tbody')?.innerText.includes('harvest.md')")
		v.click("tbody", "Remove harvest.md")
		v.until("document.querySelector('dialog[open]')")
		v.shot("12a-confirm")
		v.axe()
		v.click("dialog", "Keep")
		v.until("!document.querySelector('dialog')")
		v.click("tbody", "Remove harvest.md")
		v.click("dialog", "Delete")
		v.until("document.querySelector('.told')?.innerText.includes('is removed')")
		if strings.Contains(v.text("tbody"), "harvest.md") {
			v.Error("the document is still there")
		}
	})
	at("13-compact", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('tbody tr th')")
		v.click("header", "Compact")
		v.until("document.querySelector('.told')?.innerText.includes('is compact')")
	})
	at("14-broken-document", func(v *tab) {
		v.expected = "415" // of a kind that is not read
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)), chromedp.SetUploadFiles(chromedp.CSS("#files"), []string{
			file(v.T, "broken.pdf", "%PDF-1.7\nthis is no PDF, whatever it says\n"), file(v.T, "picture.png", "\x89PNG\r\n\x1a\nno text \x00\x01\x02 in it"), file(v.T, "good.txt", "The bell is rung at noon.\n"),
		}))
		v.until("document.querySelectorAll('.uploads .error').length === 2 && document.querySelector('tbody')?.innerText.includes('good.txt')")
		v.says(".uploads", "broken.pdf")
		v.says("tbody", "broken.pdf")
		v.click("ul[@class='uploads']", "Dismiss broken.pdf")
	})
	at("15-new-index", func(v *tab) {
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('tbody tr th')")
		v.do(chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "Sea charts\r"))
		v.until("document.querySelector('.store h2')?.innerText === 'Sea charts'")
		v.until("document.querySelector('tbody')?.innerText.includes('No documents yet')")
		v.shot("15a-new-index")
		v.do(chromedp.SetUploadFiles(chromedp.CSS("#files"), []string{file(v.T, "charts.md", "# Charts\n\nThe chart of the northern straits is number forty-one.\n")}))
		v.until("document.querySelector('tbody')?.innerText.includes('charts.md')")
		v.click("header", "Ask it")
		v.ask("Which number has the chart of the northern straits?")
		v.says(".sources", "Charts")
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
		v.until("document.querySelector('.store h2')?.innerText === 'Sea charts'")
		v.expected = "404" // what the page reads of the index again may come when it is gone
		v.click("header", "Delete index")
		v.click("dialog", "Delete")
		v.until("document.querySelector('.told')?.innerText.includes('is deleted')")
		if strings.Contains(v.text(".stores"), "Sea charts") {
			v.Error("the index is still listed")
		}
	})
	at("16-html-and-scripts", func(v *tab) {
		const hostile = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\"><b>The lantern of Ilse</b> is **bold** & burns <a href=javascript:alert(1)>seven</a> hours.\n"
		v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)), chromedp.SetUploadFiles(chromedp.CSS("#files"), []string{
			file(v.T, "<img src=x onerror=alert(1)>.txt", "The lantern of Ilse burns seven hours. "+hostile), file(v.T, "lantern.html", "<title>Lantern &lt;script&gt;</title>"+hostile),
		}))
		v.until("document.querySelector('tbody')?.innerText.includes('lantern.html') && document.querySelectorAll('.uploads .error').length === 0 && document.querySelector('tbody').innerText.includes('.txt')")
		v.do(chromedp.Click(chromedp.CSS(`a[href="#ask"]`)))
		v.ask("How many hours does the lantern of Ilse burn? <script>document.title = 'taken'</script>")
		v.hover(".part")
		v.until("document.querySelector('.evidence .passage-text')?.innerText.includes('<script>')")
		if title := get[string](v, "document.title"); title != "Ask · FlashBack" {
			v.Errorf("a document changed the title to %q", title)
		}
		if n := get[int](v, "document.querySelectorAll('main script, main img, main b, main a').length"); n != 0 {
			v.Errorf("%d elements of a document are in the page", n)
		}
	})
	at("17-two-tabs", func(v *tab) {
		other := visit(v.T, b, url, wide, high)
		v.begin(question)
		other.begin("How deep is the harbour at low tide?")
		for _, one := range []*tab{v, other} {
			one.until("document.querySelector('.turn:last-child:not([aria-busy]) .foot')?.textContent")
		}
		v.says(".text", "kitchen door")
		other.says(".text", "twelve")
		other.finish("17a-other-tab")
	})
	at("18-stop", func(v *tab) {
		v.begin(question)
		v.until("document.querySelector('.turn .text').textContent.length > 10")
		v.click("form", "Stop")
		v.until("document.querySelector('.foot').innerText.includes('Stopped')")
		v.ask("How deep is the harbour at low tide?")
		v.says(".turn:last-child .text", "twelve")
		v.click("form", "New conversation")
		v.says("h1", "Ask your documents")
		v.ask("Say nothing of it?")
	})
	at("19-keyboard", func(v *tab) {
		v.choose("Adapter", "none")
		v.ask(question)
		v.do(chromedp.Focus(chromedp.CSS(".skip")))
		reached := false
		for range 30 {
			v.do(chromedp.KeyEvent(kb.Tab))
			if reached = get[bool](v, "document.activeElement.matches('.part')"); reached {
				break
			}
		}
		if !reached {
			v.Fatal("Tab does not lead to the answer")
		}
		v.says(".evidence h2", "Stride 1 of")
		v.do(chromedp.KeyEvent(kb.ArrowRight))
		v.says(".evidence h2", "Stride 2 of")
		v.says(".evidence .card", "Kept")
		v.do(chromedp.KeyEvent(kb.Enter))
		if pressed := get[string](v, "document.activeElement.getAttribute('aria-pressed')"); pressed != "true" {
			v.Errorf("Enter leaves aria-pressed %q", pressed)
		}
		for range 20 {
			v.do(chromedp.KeyEvent(kb.Tab))
			if get[string](v, "document.activeElement.textContent") == "Measure influence" {
				v.do(chromedp.KeyEvent(kb.Enter))
				break
			}
		}
		v.until("document.querySelector('.evidence .card .nats')")
		if outline := get[string](v, "getComputedStyle(document.querySelector('.part:focus-visible') ?? document.activeElement).outlineStyle"); outline == "" {
			v.Error("the focus cannot be seen")
		}
	})
	at("20-narrow", func(v *tab) {
		v.do(chromedp.EmulateViewport(320, 640))
		v.ask(question)
		v.shot("20a-narrow")
		if over := get[int](v, "document.documentElement.scrollWidth"); over > 320 {
			v.Errorf("the page is %d wide", over)
		}
		for _, hash := range []string{"compare", "documents"} {
			v.do(chromedp.Evaluate[chromedp.Void]("void (location.hash = '#" + hash + "')"))
			v.until("document.querySelector('." + hash + "')")
			if hash == "documents" {
				v.until("document.querySelector('tbody tr th')")
			}
			if over := get[int](v, "document.documentElement.scrollWidth"); over > 320 {
				v.Errorf("%s is %d wide", hash, over)
			}
			v.finish("20b-narrow-" + hash)
		}
		v.do(chromedp.Evaluate[chromedp.Void]("void (location.hash = '#ask')"))
		v.until("document.querySelector('.part')")
		v.do(chromedp.Click(chromedp.CSS(".part")))
		v.until("document.querySelector('.evidence.open .card')")
	})
	at("21-dark", func(v *tab) {
		v.choose("Adapter", "none")
		v.choose("Passages", "3")
		v.ask(question)
		v.click("p[@class='foot']", "Measure influence")
		v.until("document.querySelector('.sources .nats')")
		v.hover(".part")
		if paper := get[string](v, "getComputedStyle(document.documentElement).backgroundColor"); paper != "rgb(23, 22, 20)" {
			v.Errorf("the paper is %s", paper)
		}
	}, prefer("prefers-color-scheme", "dark"))
	at("22-reduced-motion", func(v *tab) {
		v.begin(question)
		if name := get[string](v, "getComputedStyle(document.querySelector('.text'), '::after').animationName"); name != "none" {
			v.Errorf("the cursor moves: %s", name)
		}
		v.until("document.querySelector('.turn:last-child:not([aria-busy]) .foot')?.textContent")
	}, prefer("prefers-reduced-motion", "reduce"))
	at("23-announced", func(v *tab) {
		v.do(chromedp.Evaluate[chromedp.Void](`void (window.heard = [], new MutationObserver((all) => all.forEach((m) => m.addedNodes.forEach((n) => heard.push(n.textContent)))).observe(document.querySelector("[role=log]"), {childList: true}))`))
		v.ask(question)
		heard := get[[]string](v, "heard")
		if len(heard) < 2 || !strings.HasPrefix(heard[len(heard)-1], "The answer is complete") {
			v.Fatalf("heard %q", heard)
		}
		if said, text := strings.Join(strings.Fields(strings.Join(heard[:len(heard)-1], " ")), " "), strings.Join(strings.Fields(v.text(".text")), " "); said != text {
			v.Errorf("heard %q of the answer %q", said, text)
		}
	})
	at("24-lost-connection", func(v *tab) {
		v.expected = "net::"        // what the browser says of it
		v.choose("Adapter", "none") // its answers are long enough to lose
		v.choose("Passages", "3")
		v.begin(question)
		v.until("document.querySelector('.turn .text').textContent.length > 10")
		before := get[string](v, "document.querySelector('.text').textContent")
		s.stop()
		v.until("document.querySelector('.foot .error')")
		if !strings.HasPrefix(get[string](v, "document.querySelector('.text').textContent"), before) {
			v.Error("what came before is lost")
		}
		v.shot("24a-lost")
		v.axe()
		v.click("p[@class='foot']", "Ask again")
		v.until("document.querySelector('.foot .error')?.innerText.includes('cannot be reached')")
		s.start(v.T)
		v.click("p[@class='foot']", "Ask again")
		v.until("document.querySelector('.turn:last-child:not([aria-busy]) .foot')?.innerText.includes('ms a token')")
		v.says(".text", "north tower")
	})
}

// A server with keys is asked with one.
func TestKey(t *testing.T) {
	if testing.Short() {
		t.Skip("journeys in a browser take a minute")
	}
	b := browser(t)
	s := open(t, "--keys", file(t, "keys", "reader a-secret-of-the-reader indexes=notes\n"))
	v := visit(t, b, "http://"+s.address+"/", wide, high)
	v.expected = "401"
	v.until("document.querySelector('form.key')")
	v.finish("25-key")
	v.do(chromedp.SendKeys(chromedp.CSS("#key"), "a-wrong-secret-of-nobody\r"))
	v.until("document.querySelector('.key .error')")
	v.do(chromedp.SendKeys(chromedp.CSS("#key"), "a-secret-of-the-reader\r"))
	v.ask(question)
	v.says(".text", "kitchen door")
	v.expected = "40" // the key may not change an index: 403
	v.do(chromedp.Click(chromedp.CSS(`a[href="#documents"]`)))
	v.until("document.querySelector('tbody tr th')")
	v.click("header", "Compact")
	v.until("document.querySelector('.told .error')")
	v.finish("25a-may-not")
}

// file writes a file to upload.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
