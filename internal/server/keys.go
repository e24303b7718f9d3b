package server

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Key is who may ask, and what for. The nil key may do everything: it is everybody's
// where the server has no keys.
type Key struct {
	Name              string
	secret            [sha256.Size]byte // its digest
	indexes, adapters []string          // that it may use; "*": all
	manages           bool
}

// Index reports whether the key may use the index of that name.
func (k *Key) Index(name string) bool { return k == nil || has(k.indexes, name) }

// Adapter reports whether the key may use the adapter of that name.
func (k *Key) Adapter(name string) bool { return k == nil || has(k.adapters, name) }

// Manages reports whether the key may make indexes and change those that it may use.
func (k *Key) Manages() bool { return k == nil || k.manages }

func has(names []string, name string) bool {
	return slices.Contains(names, "*") || slices.Contains(names, name)
}

// id returns what tells the key from others; "" is that of the nil key.
func (k *Key) id() string {
	if k == nil {
		return ""
	}
	return k.Name
}

// Keys are all who may ask.
type Keys []*Key

// ReadKeys reads a file of keys: a line each, of a name, its secret, and what it may use.
//
//	# who     secret                 what
//	alice     sk-2b7e151628aed2a6    indexes=notes,law adapters=law
//	admin     sha256:9f86d081884c…   indexes=* adapters=* manage
//
// The secret is one that is sent as it stands, or its SHA-256 in hexadecimal digits.
// Without indexes= a key may look nothing up, without adapters= use none. manage lets it
// make indexes and change those that it may use. Errors name the line.
func ReadKeys(r io.Reader) (Keys, error) {
	var keys Keys
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		k, err := readKey(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for _, other := range keys {
			if other.Name == k.Name || other.secret == k.secret {
				return nil, fmt.Errorf("line %d: key %q has the name or the secret of key %q", n, k.Name, other.Name)
			}
		}
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("it has no keys: give a line each of a name, a secret and what it may use")
	}
	return keys, nil
}

// shortest is how many characters a secret has at least.
const shortestSecret = 16

func readKey(fields []string) (*Key, error) {
	if len(fields) < 2 {
		return nil, fmt.Errorf("key %q has no secret", fields[0])
	}
	k := &Key{Name: fields[0], secret: sha256.Sum256([]byte(fields[1]))}
	if digest, ok := strings.CutPrefix(fields[1], "sha256:"); ok {
		if n, err := hex.Decode(k.secret[:], []byte(digest[:min(len(digest), 2*sha256.Size)])); err != nil || n != sha256.Size || len(digest) != 2*sha256.Size {
			return nil, fmt.Errorf("key %q: the digest of the secret is not %d hexadecimal digits", k.Name, 2*sha256.Size)
		}
	} else if len(fields[1]) < shortestSecret {
		return nil, fmt.Errorf("key %q: a secret has at least %d characters", k.Name, shortestSecret)
	}
	for _, field := range fields[2:] {
		name, value, _ := strings.Cut(field, "=")
		switch {
		case field == "manage":
			k.manages = true
		case name == "indexes" && value != "":
			k.indexes = strings.Split(value, ",")
		case name == "adapters" && value != "":
			k.adapters = strings.Split(value, ",")
		default:
			return nil, fmt.Errorf("key %q: %q is none of indexes=…, adapters=… and manage", k.Name, field)
		}
	}
	return k, nil
}

// of returns the key that a request brings. All keys are compared, in constant time.
func (keys Keys) of(r *http.Request) (*Key, error) {
	if keys == nil {
		return nil, nil
	}
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	var found *Key
	for _, k := range keys {
		if subtle.ConstantTimeCompare(digest[:], k.secret[:]) == 1 {
			found = k
		}
	}
	if !ok || found == nil {
		return nil, &Error{Status: http.StatusUnauthorized, Type: authentication, Code: "invalid_api_key",
			Message: "this server wants one of its keys: send the header 'Authorization: Bearer KEY'"}
	}
	return found, nil
}

// salt keeps a key's texts and passages apart from those of others.
func (k *Key) salt() string {
	if k == nil {
		return ""
	}
	digest := sha256.Sum256([]byte("flashback key " + k.Name))
	return string(digest[:])
}
