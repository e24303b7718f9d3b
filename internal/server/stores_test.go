package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flashback-lm/flashback/internal/library"
)

// words counts a word as a token.
type words struct{}

func (words) Encode(text string) []int32 { return make([]int32, len(strings.Fields(text))) }
func (words) Digest() string             { return "words" }

// managing returns a server with a library of its own.
func managing(t testing.TB, change ...func(*Options)) *Server {
	t.Helper()
	l, err := library.Open(library.Options{Dir: t.TempDir(), Tokenizer: words{}, Warn: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return started(t, Options{Model: &fake{text: "yes"}, Name: "tiny", Stores: l}, change)
}

// ask sends a request with a body of JSON, or none, and reads the answer into v.
func ask(t testing.TB, s http.Handler, status int, method, path, body string, v any, key ...string) {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	told(t, s, r, status, v, key...)
}

// told sends a request.
func told(t testing.TB, s http.Handler, r *http.Request, status int, v any, key ...string) {
	t.Helper()
	for _, k := range key {
		r.Header.Set("Authorization", "Bearer "+k)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != status {
		t.Fatalf("%s %s: %d %s, want %d", r.Method, r.URL, w.Code, w.Body, status)
	}
	if v != nil {
		if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
			t.Fatalf("%s %s: %v: %s", r.Method, r.URL, err, w.Body)
		}
	}
}

// upload returns a request that uploads a file.
func upload(name, text string, fields ...string) *http.Request {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		form.WriteField(fields[i], fields[i+1])
	}
	part, _ := form.CreateFormFile("file", name)
	io.WriteString(part, text)
	form.Close()
	r := httptest.NewRequest("POST", "http://localhost/v1/files", &b)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return r
}

func uploaded(t testing.TB, s http.Handler, name, text string, key ...string) (id string) {
	t.Helper()
	var f fileObject
	told(t, s, upload(name, text, "purpose", "assistants"), 200, &f, key...)
	return f.ID
}

// attached puts a file into an index and waits until it is there or not going to be.
func attached(t testing.TB, s http.Handler, store, file string, key ...string) attachedObject {
	t.Helper()
	var a attachedObject
	ask(t, s, 200, "POST", "/v1/vector_stores/"+store+"/files", `{"file_id": "`+file+`"}`, &a, key...)
	for a.Status == "in_progress" {
		time.Sleep(time.Millisecond)
		ask(t, s, 200, "GET", "/v1/vector_stores/"+store+"/files/"+file, "", &a, key...)
	}
	return a
}

// TestStores makes an index, puts documents into it, searches, follows what is found, and
// takes all away again.
func TestStores(t *testing.T) {
	s := managing(t)
	var store storeObject
	ask(t, s, 200, "POST", "/v1/vector_stores", `{"name": "notes"}`, &store)
	if store.Object != "vector_store" || store.Name != "notes" || store.Status != "completed" || store.FileCounts.Total != 0 {
		t.Errorf("%+v", store)
	}
	at := "/v1/vector_stores/" + store.ID
	keys := uploaded(t, s, "../keys.md", "# Keys\n\nThe spare key hangs behind the door.")
	boats := uploaded(t, s, "boats.txt", "Three boats lie in the harbour.")
	if a := attached(t, s, store.ID, keys); a.Status != "completed" || a.Filename != "keys.md" || a.Progress != 1 || a.LastError != nil || a.Chunking.Static.Size != 128 {
		t.Errorf("%+v", a)
	}
	attached(t, s, store.ID, boats)
	if a := attached(t, s, store.ID, uploaded(t, s, "none.pdf", "no PDF")); a.Status != "failed" || a.LastError.Code != "invalid_file" || a.LastError.Message == "" {
		t.Errorf("%+v", a)
	}

	var found struct {
		Object string
		Data   []foundObject
	}
	ask(t, s, 200, "POST", at+"/search", `{"query": ["where is", "the spare key"], "max_num_results": 3, "ranking_options": {"ranker": "auto", "score_threshold": 0.1}, "rewrite_query": false}`, &found)
	if len(found.Data) != 1 || found.Data[0].File != keys || found.Data[0].Filename != "keys.md" || !strings.Contains(found.Data[0].Content[0].Text, "behind the door") || found.Data[0].Title != "Keys" {
		t.Fatalf("%+v", found)
	}
	var passage passageObject
	ask(t, s, 200, "GET", strings.TrimPrefix(found.Data[0].URL, "http://localhost"), "", &passage)
	if passage.Text != found.Data[0].Content[0].Text || passage.File != keys || passage.Line != 1 || passage.Store != store.ID {
		t.Errorf("%+v", passage)
	}
	ask(t, s, 200, "POST", at+"/search", `{"query": "key", "ranking_options": {"score_threshold": 1000}}`, &found)
	if len(found.Data) != 0 {
		t.Errorf("%+v", found)
	}

	// It is an index like those that the server was given.
	var answer struct {
		Choices []struct {
			Message struct {
				Annotations []annotation
			}
		}
	}
	ask(t, s, 200, "POST", "/v1/chat/completions", `{"model": "tiny@`+store.ID+`", `+hello+`}`, &answer)

	var files, documents struct {
		Data        []struct{ ID, Filename string }
		First, Last string
		More        bool `json:"has_more"`
	}
	ask(t, s, 200, "GET", "/v1/files?limit=2&order=asc", "", &files)
	if len(files.Data) != 2 || !files.More {
		t.Errorf("%+v", files)
	}
	ask(t, s, 200, "GET", at+"/files?filter=completed&order=asc", "", &documents)
	if len(documents.Data) != 2 || documents.Data[0].ID != keys || documents.Data[1].Filename != "boats.txt" || documents.More {
		t.Errorf("%+v", documents)
	}
	r := httptest.NewRequest("GET", "http://localhost/v1/files/"+boats+"/content", nil)
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Body.String() != "Three boats lie in the harbour." || w.Header().Get("Content-Disposition") != "attachment; filename=boats.txt" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}

	ask(t, s, 200, "POST", at, `{"name": "keys"}`, &store)
	if store.Name != "keys" || store.FileCounts != (fileCounts{Completed: 2, Failed: 1, Total: 3}) || store.Documents != 2 || store.Passages != 2 {
		t.Errorf("%+v", store)
	}
	ask(t, s, 200, "DELETE", at+"/files/"+boats, "", nil)
	ask(t, s, 404, "DELETE", at+"/files/"+boats, "", nil)
	ask(t, s, 200, "POST", at+"/compact", "", &store)
	ask(t, s, 200, "DELETE", "/v1/files/"+keys, "", nil)
	ask(t, s, 404, "GET", strings.TrimPrefix(passage.URL, "http://localhost"), "", nil)
	ask(t, s, 200, "GET", at, "", &store)
	if store.Documents != 0 {
		t.Errorf("%+v", store)
	}
	ask(t, s, 200, "DELETE", at, "", nil)
	ask(t, s, 404, "GET", at, "", nil)
}

// TestStoreErrors asks for what is wrong.
func TestStoreErrors(t *testing.T) {
	s := managing(t, func(o *Options) { o.MaxUpload = 1000 })
	var store storeObject
	ask(t, s, 200, "POST", "/v1/vector_stores", `{}`, &store)
	at := "/v1/vector_stores/" + store.ID
	file := uploaded(t, s, "a.md", "text")
	for _, c := range []struct {
		method, path, body string
		status             int
		param, code        string
	}{
		{"GET", "/v1/files/file-0", "", 404, "", "not_found"},
		{"GET", "/v1/files/..%2Flock/content", "", 404, "", "not_found"},
		{"DELETE", "/v1/files/file-0", "", 404, "", "not_found"},
		{"GET", "/v1/files?limit=0", "", 400, "limit", "invalid_value"},
		{"GET", "/v1/files?limit=many", "", 400, "limit", "invalid_value"},
		{"GET", "/v1/files?order=up", "", 400, "order", "invalid_value"},
		{"GET", "/v1/files?after=file-0", "", 400, "after", "invalid_value"},
		{"POST", "/v1/files", `{}`, 415, "", "unsupported_media_type"},
		{"POST", "/v1/vector_stores", `{"name": 1}`, 400, "name", "invalid_value"},
		{"POST", "/v1/vector_stores", `{"name": "a\nb"}`, 400, "name", "invalid_value"},
		{"POST", "/v1/vector_stores", `{"name": "` + strings.Repeat("x", 300) + `"}`, 400, "name", "invalid_value"},
		{"POST", "/v1/vector_stores", `{"expires_after": {"anchor": "last_active_at", "days": 1}}`, 400, "expires_after", "unsupported_parameter"},
		{"POST", "/v1/vector_stores", `{"metadata": {"a": "b"}}`, 400, "metadata", "unsupported_parameter"},
		{"POST", "/v1/vector_stores", `{"file_ids": ["file-0"]}`, 404, "file_ids", "not_found"},
		{"GET", "/v1/vector_stores/absent", "", 404, "", "not_found"},
		{"GET", "/v1/vector_stores/..%2F..", "", 404, "", "not_found"},
		{"POST", "/v1/vector_stores/absent/search", `{"query": "x"}`, 404, "", "not_found"},
		{"POST", at + "/search", `{}`, 400, "query", "invalid_value"},
		{"POST", at + "/search", `{"query": 1}`, 400, "query", "invalid_value"},
		{"POST", at + "/search", `{"query": "` + strings.Repeat("x", 33<<10) + `"}`, 400, "query", "invalid_value"},
		{"POST", at + "/search", `{"query": "x", "max_num_results": 51}`, 400, "max_num_results", "invalid_value"},
		{"POST", at + "/search", `{"query": "x", "filters": {"type": "eq"}}`, 400, "filters", "unsupported_parameter"},
		{"POST", at + "/search", `{"query": "x", "rewrite_query": true}`, 400, "rewrite_query", "unsupported_parameter"},
		{"POST", at + "/search", `{"query": "x", "ranking_options": {"ranker": "default-2024-11-15"}}`, 400, "ranking_options.ranker", "unsupported_parameter"},
		{"POST", at + "/files", `{"file_id": "file-0"}`, 404, "file_id", "not_found"},
		{"POST", at + "/files", `{"file_id": "` + file + `", "attributes": {"a": 1}}`, 400, "attributes", "unsupported_parameter"},
		{"POST", at + "/files", `{"file_id": "` + file + `", "chunking_strategy": {"type": "static"}}`, 400, "chunking_strategy", "unsupported_parameter"},
		{"GET", at + "/files/" + file, "", 404, "", "not_found"},
		{"DELETE", at + "/files/" + file, "", 404, "", "not_found"},
		{"GET", at + "/passages/psg_AAAAAAAAAAAAAAAAAAAAAA", "", 404, "", "not_found"},
		{"PUT", at, "", 405, "", "method_not_allowed"},
	} {
		var got struct {
			Error struct{ Param, Code, Message string }
		}
		ask(t, s, c.status, c.method, c.path, c.body, &got)
		if e := got.Error; e.Param != c.param || e.Code != c.code || e.Message == "" {
			t.Errorf("%s %s %.80s: %+v, want param %q, code %q", c.method, c.path, c.body, e, c.param, c.code)
		}
	}
	for _, c := range []struct {
		r      *http.Request
		status int
		code   string
	}{
		{upload("a.md", "x"), 400, "invalid_value"},
		{upload("a.md", "x", "purpose", "fine-tune"), 400, "invalid_value"},
		{upload("a.md", "x", "purpose", strings.Repeat("x", 2000)), 400, "invalid_value"},
		{upload("a.md", "x", "purpose", "assistants", "expires_after[days]", "1"), 400, "unsupported_parameter"},
		{upload("a.exe", "MZ\x00\x00\x01\x00\xff\xff\x00", "purpose", "assistants"), 415, "unsupported_file"},
		{upload("a.md", strings.Repeat("x", 1001), "purpose", "assistants"), 413, "file_too_large"},
		{upload("a.md", strings.Repeat("x", 100_000), "purpose", "assistants"), 413, ""},
		{upload("a.md", "x", strings.Fields(strings.Repeat("x y ", maxParts))...), 400, "invalid_value"},
	} {
		var got struct {
			Error struct{ Code, Message string }
		}
		told(t, s, c.r, c.status, &got)
		if c.code != "" && got.Error.Code != c.code || got.Error.Message == "" {
			t.Errorf("%+v, want %s", got, c.code)
		}
	}
	var files struct{ Data []fileObject }
	ask(t, s, 200, "GET", "/v1/files", "", &files)
	if len(files.Data) != 1 {
		t.Errorf("what was refused was kept: %+v", files)
	}
}

// TestFileBeforePurpose takes the parts of a form in any order.
func TestFileBeforePurpose(t *testing.T) {
	s := managing(t)
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, _ := form.CreateFormFile("file", "a.md")
	io.WriteString(part, "text")
	form.WriteField("purpose", "user_data")
	form.Close()
	r := httptest.NewRequest("POST", "http://localhost/v1/files", &b)
	r.Header.Set("Content-Type", form.FormDataContentType())
	var f fileObject
	if told(t, s, r, 200, &f); f.Purpose != "user_data" || f.Filename != "a.md" || f.Bytes != 4 {
		t.Errorf("%+v", f)
	}
}

// TestStoreKeys shows each key its own files and indexes, and those that it was given;
// the others are not there.
func TestStoreKeys(t *testing.T) {
	const alice, bob, admin, reader = "alice-secret-0000", "bob-secret-000000", "admin-secret-0000", "reader-secret-000"
	s := managing(t, func(o *Options) {
		var err error
		o.Keys, err = ReadKeys(strings.NewReader("alice " + alice + " manage\nbob " + bob + " manage\nadmin " + admin + " indexes=* manage\nreader " + reader + "\n"))
		if err != nil {
			t.Fatal(err)
		}
	})
	file := uploaded(t, s, "a.md", "a fox", alice)
	var store storeObject
	ask(t, s, 200, "POST", "/v1/vector_stores", `{"file_ids": ["`+file+`"]}`, &store, alice)
	at := "/v1/vector_stores/" + store.ID
	attached(t, s, store.ID, file, alice)
	for _, c := range []struct{ method, path, body string }{
		{"GET", at, ""}, {"POST", at, `{"name": "x"}`}, {"DELETE", at, ""}, {"POST", at + "/search", `{"query": "fox"}`}, {"GET", at + "/files", ""},
		{"GET", at + "/files/" + file, ""}, {"DELETE", at + "/files/" + file, ""}, {"GET", at + "/passages/psg_AAAAAAAAAAAAAAAAAAAAAA", ""},
		{"GET", "/v1/files/" + file, ""}, {"GET", "/v1/files/" + file + "/content", ""}, {"DELETE", "/v1/files/" + file, ""},
		{"POST", "/v1/chat/completions", `{"model": "tiny@` + store.ID + `", ` + hello + `}`}, {"GET", "/v1/models/tiny@" + store.ID, ""},
	} {
		absent := strings.NewReplacer(store.ID, "vs_0", file, "file-0")
		var hidden, none json.RawMessage
		ask(t, s, 404, c.method, c.path, c.body, &hidden, bob)
		ask(t, s, 404, c.method, absent.Replace(c.path), absent.Replace(c.body), &none, bob)
		if absent.Replace(string(hidden)) != string(none) {
			t.Errorf("%s %s: %s, where there is none: %s", c.method, c.path, hidden, none)
		}
	}
	for key, want := range map[string]int{alice: 1, bob: 0, admin: 1, reader: 0} {
		for _, path := range []string{"/v1/vector_stores", "/v1/files"} {
			var l struct{ Data []struct{ ID string } }
			if ask(t, s, 200, "GET", path, "", &l, key); len(l.Data) != want {
				t.Errorf("%s: %s lists %v", key, path, l)
			}
		}
		var models struct{ Data []model }
		if ask(t, s, 200, "GET", "/v1/models", "", &models, key); len(models.Data) != 1+want {
			t.Errorf("%s: %+v", key, models)
		}
	}
	for _, c := range []struct{ method, path string }{{"POST", "/v1/files"}, {"POST", "/v1/vector_stores"}, {"DELETE", at}, {"POST", at + "/compact"}} {
		ask(t, s, 403, c.method, c.path, `{}`, nil, reader)
	}
	ask(t, s, 200, "POST", "/v1/chat/completions", `{"model": "tiny@`+store.ID+`", `+hello+`}`, nil, alice)
	ask(t, s, 200, "DELETE", at, "", nil, admin)
}

// TestBatches puts several files into an index at once.
func TestBatches(t *testing.T) {
	s := managing(t)
	var store storeObject
	ask(t, s, 200, "POST", "/v1/vector_stores", `{}`, &store)
	at := "/v1/vector_stores/" + store.ID + "/file_batches"
	a, b, none := uploaded(t, s, "a.md", "a fox"), uploaded(t, s, "b.md", "a hen"), uploaded(t, s, "none.md", " ")
	ask(t, s, 404, "POST", at, `{"file_ids": ["`+a+`", "file-0"]}`, nil)
	ask(t, s, 400, "POST", at, `{"files": [{"file_id": "`+a+`"}]}`, nil)
	ask(t, s, 400, "POST", at, `{"file_ids": []}`, nil)
	var batch batchObject
	ask(t, s, 200, "POST", at, `{"file_ids": ["`+a+`", "`+b+`", "`+none+`"]}`, &batch)
	for batch.Status == "in_progress" {
		time.Sleep(time.Millisecond)
		ask(t, s, 200, "GET", at+"/"+batch.ID, "", &batch)
	}
	if batch.Status != "completed" || batch.FileCounts != (fileCounts{Completed: 2, Failed: 1, Total: 3}) {
		t.Errorf("%+v", batch)
	}
	ask(t, s, 200, "POST", at+"/"+batch.ID+"/cancel", "", &batch)
	if batch.Status != "cancelled" || batch.FileCounts.Completed != 2 {
		t.Errorf("%+v", batch)
	}
	var failed struct{ Data []attachedObject }
	if ask(t, s, 200, "GET", at+"/"+batch.ID+"/files?filter=failed", "", &failed); len(failed.Data) != 1 || failed.Data[0].ID != none {
		t.Errorf("%+v", failed)
	}
	ask(t, s, 404, "GET", at+"/vsfb_0", "", nil)
	var other storeObject
	ask(t, s, 200, "POST", "/v1/vector_stores", `{}`, &other)
	ask(t, s, 404, "GET", "/v1/vector_stores/"+other.ID+"/file_batches/"+batch.ID, "", nil)
	for range maxBatches {
		s.batches.add("x", nil)
	}
	ask(t, s, 404, "GET", at+"/"+batch.ID, "", nil)
}

// TestSlowUpload gives a client up that sends nothing, and takes one that is slow.
func TestSlowUpload(t *testing.T) {
	s := managing(t, func(o *Options) { o.UploadTime = 100 * time.Millisecond })
	web := httptest.NewServer(s)
	defer web.Close()
	for _, pause := range []time.Duration{0, time.Second} {
		body, in := io.Pipe()
		form := multipart.NewWriter(in)
		go func() {
			form.WriteField("purpose", "assistants")
			part, _ := form.CreateFormFile("file", "a.md")
			for range 3 {
				io.WriteString(part, "words ")
				time.Sleep(pause)
			}
			form.Close()
			in.Close()
		}()
		r, err := http.Post(web.URL+"/v1/files", form.FormDataContentType(), body)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if slow := pause > 0; slow != (r.StatusCode == http.StatusRequestTimeout) || !slow && r.StatusCode != 200 {
			t.Errorf("pauses of %v: %s", pause, r.Status)
		}
	}
}

// FuzzUpload uploads forms that are none: what is wrong with them is the client's fault.
func FuzzUpload(f *testing.F) {
	for _, r := range []*http.Request{upload("a.md", "a fox", "purpose", "assistants"), upload("a.md.gz", "\x1f\x8b\x08", "purpose", "user_data"), upload("../\x00", "", "purpose", "")} {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Header.Get("Content-Type"), body)
	}
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''%00\r\n\r\n\r\n--x--"))
	f.Add("multipart/mixed; boundary=\"\"", []byte("----\r\n"))
	l, err := library.Open(library.Options{Dir: f.TempDir(), Tokenizer: words{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	s, err := New(Options{Model: &fake{}, Name: "tiny", Stores: l, MaxUpload: 1 << 16})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := httptest.NewRequest("POST", "http://localhost/v1/files", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch {
		case w.Code >= 500:
			t.Fatalf("%d %s", w.Code, w.Body)
		case w.Code == 200:
			var file fileObject
			if err := json.Unmarshal(w.Body.Bytes(), &file); err != nil {
				t.Fatal(err)
			}
			ask(t, s, 200, "DELETE", "/v1/files/"+file.ID, "", nil)
		}
	})
}

// FuzzStoreBodies sends bodies of any kind to what reads JSON: what is wrong with them is
// the client's fault.
func FuzzStoreBodies(f *testing.F) {
	for at := range 6 {
		for _, body := range []string{`{"name": "notes", "file_ids": ["file-0"]}`, `{"file_id": "file-0", "chunking_strategy": {"type": "auto"}}`, `{"query": ["a", "fox"], "max_num_results": 3, "ranking_options": {"score_threshold": 1}}`, `{"query": "a", "filters": null, "rewrite_query": false}`, `[]`} {
			f.Add(uint8(at), body)
		}
	}
	s := managing(f)
	var store storeObject
	ask(f, s, 200, "POST", "/v1/vector_stores", `{}`, &store)
	paths := []string{"", "/" + store.ID, "/" + store.ID + "/files", "/" + store.ID + "/search", "/" + store.ID + "/file_batches", "/" + store.ID + "/compact"}
	f.Fuzz(func(t *testing.T, at uint8, body string) {
		w := post(s, "/v1/vector_stores"+paths[int(at)%len(paths)], body)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if int(at)%len(paths) == 0 && w.Code == 200 {
			var made storeObject
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
				t.Fatal(err)
			}
			ask(t, s, 200, "DELETE", "/v1/vector_stores/"+made.ID, "", nil)
		}
	})
}

// TestLists pages through a list, forward and back.
func TestLists(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", "[e d c b a] false"},
		{"?order=asc", "[a b c d e] false"},
		{"?limit=2", "[e d] true"},
		{"?limit=2&after=d", "[c b] true"},
		{"?limit=2&after=b", "[a] false"},
		{"?limit=2&after=a", "[] false"},
		{"?order=asc&limit=2&before=d", "[b c] true"},
		{"?order=asc&before=c", "[a b] false"},
		{"?order=asc&after=a&before=d", "[b c] false"},
	} {
		p, err := readPage(httptest.NewRequest("GET", "/"+c.query, nil), 20, 100)
		if err != nil {
			t.Fatal(err)
		}
		l, err := listOf([]string{"a", "b", "c", "d", "e"}, func(s string) string { return s }, p)
		if got := fmt.Sprint(l.Data, " ", l.More); err != nil || got != c.want {
			t.Errorf("%q: %s, %v; want %s", c.query, got, err, c.want)
		}
	}
}
