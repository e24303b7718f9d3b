package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadKeys(t *testing.T) {
	digest := sha256.Sum256([]byte("the secret of admin"))
	keys, err := ReadKeys(strings.NewReader("# who may ask\n\nalice secret-of-alice-1 indexes=notes,law adapters=law\n" +
		"admin sha256:" + hex.EncodeToString(digest[:]) + " indexes=* adapters=* manage\nbob secret-of-bob-0001\n"))
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	alice, admin, bob := keys[0], keys[1], keys[2]
	for what, ok := range map[string]bool{
		"alice has notes": alice.Index("notes"), "alice has no mail": !alice.Index("mail"), "alice has law": alice.Adapter("law"), "alice manages nothing": !alice.Manages(),
		"admin has all": admin.Index("mail") && admin.Adapter("x") && admin.Manages(), "bob has nothing": !bob.Index("notes") && !bob.Adapter("law"),
		"salts differ": alice.salt() != bob.salt() && alice.salt() != "" && (*Key)(nil).salt() == "",
	} {
		if !ok {
			t.Errorf("it is not so that %s", what)
		}
	}
	of := func(header string) *Key {
		r := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		k, err := keys.of(r)
		if (err == nil) != (k != nil) {
			t.Errorf("%q: %v, %v", header, k, err)
		}
		return k
	}
	if of("Bearer secret-of-alice-1") != alice || of("Bearer the secret of admin") != admin {
		t.Error("a secret is not its key's")
	}
	for _, header := range []string{"", "secret-of-alice-1", "Basic secret-of-alice-1", "Bearer ", "Bearer secret-of-alice-2", "Bearer sha256:" + hex.EncodeToString(digest[:])} {
		if k := of(header); k != nil {
			t.Errorf("%q is taken for %s", header, k.Name)
		}
	}
	for text, want := range map[string]string{
		"":                                 "no keys",
		"# none\n":                         "no keys",
		"alice":                            "no secret",
		"alice short":                      "at least",
		"alice sha256:00":                  "digest",
		"alice secret-of-alice-1 all":      "none of",
		"alice secret-of-alice-1 indexes=": "none of",
		"a secret-of-alice-1\nb secret-of-alice-1":  "line 2",
		"a secret-of-alice-1\na secret-of-bob-0001": "line 2",
	} {
		if _, err := ReadKeys(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What a key may not use is for it what does not exist: the answers are the same, and no
// list has it.
func TestHiddenIsAbsent(t *testing.T) {
	keys, err := ReadKeys(strings.NewReader("alice secret-of-alice-1 indexes=notes\nbob secret-of-bob-0001 indexes=* adapters=*\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, &fake{text: "it"}, func(o *Options) { o.Keys = keys })
	for _, c := range []struct{ hidden, absent, body string }{
		{"tiny@law", "tiny@lew", `{"model": "NAME", ` + hello + `}`},
		{"tiny+terse", "tiny+tarse", `{"model": "NAME", ` + hello + `}`},
		{"tiny+terse@notes", "tiny+tarse@notes", `{"model": "NAME", ` + hello + `}`},
		{"law", "lew", `{"model": "tiny", "flashback": {"indexes": ["NAME"]}, ` + hello + `}`},
	} {
		ask := func(name, key string) (int, string) {
			w := post(s, "/v1/chat/completions", strings.ReplaceAll(c.body, "NAME", name), key)
			return w.Code, strings.ReplaceAll(w.Body.String(), name, "NAME")
		}
		hidden, said := ask(c.hidden, "secret-of-alice-1")
		absent, want := ask(c.absent, "secret-of-alice-1")
		if hidden != 404 || hidden != absent || said != want {
			t.Errorf("%s: %d %s\n%s: %d %s", c.hidden, hidden, said, c.absent, absent, want)
		}
		if code, said := ask(c.hidden, "secret-of-bob-0001"); code != 200 {
			t.Errorf("%s, for who may: %d %s", c.hidden, code, said)
		}
	}
	for key, want := range map[string]string{"secret-of-alice-1": "tiny tiny@notes", "secret-of-bob-0001": "tiny tiny+terse tiny@law tiny+terse@law tiny@notes tiny+terse@notes"} {
		r := httptest.NewRequest("GET", "http://localhost/v1/models", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var list struct{ Data []model }
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range list.Data {
			names = append(names, m.ID)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("models of %s: %s, want %s", key, got, want)
		}
	}
	for _, path := range []string{"/v1/models", "/props", "/slots"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a key: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/health", "/ready", "/"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s without a key: %d", path, w.Code)
		}
	}
}
