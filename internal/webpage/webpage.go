// Package webpage has the page that the server shows to people: chats with the passages of
// each stride, the placements side by side, indexes and their documents. It is plain
// HTML, CSS and ECMAScript modules, in files/, and speaks the HTTP API as any client does;
// nothing of it is built, and nothing is loaded from elsewhere.
package webpage

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"sync"
)

// Policy is the Content-Security-Policy of the page: it runs its own modules only, asks
// its own server only, is framed by nobody, and makes no HTML of a string.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Index is the name of the file that is shown first.
const Index = "index.html"

//go:embed files
var embedded embed.FS

// File is one of the page's.
type File struct {
	Type    string // its Content-Type
	Tag     string // its ETag, quoted
	Content []byte
}

// types are those of the page's files, by how their names end.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

var files = sync.OnceValue(func() map[string]File {
	all := map[string]File{}
	entries, _ := fs.ReadDir(embedded, "files") // embedded: it is there
	for _, e := range entries {
		content, _ := fs.ReadFile(embedded, path.Join("files", e.Name()))
		sum := sha256.Sum256(content)
		all[e.Name()] = File{types[path.Ext(e.Name())], `"` + hex.EncodeToString(sum[:8]) + `"`, content}
	}
	return all
})

// Lookup returns the file of that name, and whether there is one.
func Lookup(name string) (File, bool) {
	f, ok := files()[name]
	return f, ok
}
