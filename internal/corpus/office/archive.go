package office

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Archive is a zip file of a document's parts. All reading together is bounded by
// MaxSize, so that a small hostile file cannot fill the memory.
type Archive struct {
	byName map[string]*zip.File
	left   int64
}

// errLocked tells of files that ask for a password; Office packs those in the format
// that older versions wrote.
var errLocked = errors.New("it is protected with a password, or written by Office 97 to 2003; save it without or in a newer format")

// Open opens the archive that a file of that kind, such as ".docx", is.
func Open(data []byte, kind string) (*Archive, error) {
	if bytes.HasPrefix(data, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) {
		return nil, errLocked
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("not a %s file: %w", kind, err)
	}
	a := &Archive{byName: map[string]*zip.File{}, left: MaxSize}
	for _, f := range z.File {
		name := strings.ToLower(strings.TrimLeft(strings.ReplaceAll(f.Name, `\`, "/"), "/"))
		if _, twice := a.byName[name]; !twice {
			a.byName[name] = f
		}
	}
	return a, nil
}

// Has reports whether there is a part of that name; names differ by more than case.
func (a *Archive) Has(name string) bool { return a.byName[strings.ToLower(name)] != nil }

// Read returns a part.
func (a *Archive) Read(name string) ([]byte, error) {
	f := a.byName[strings.ToLower(name)]
	if f == nil {
		return nil, fmt.Errorf("%s is missing", name)
	}
	if f.Flags&1 != 0 {
		return nil, fmt.Errorf("%s is protected with a password", name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, a.left+1))
	if a.left -= int64(len(data)); a.left < 0 {
		return nil, fmt.Errorf("%s: it unpacks to more than %d MiB", name, MaxSize>>20)
	}
	if err != nil {
		return data, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// relation is one part's reference to another.
type relation struct {
	kind   string // the last word of its type
	target string // the part's name in the archive
}

// relations returns what a part refers to, by id; the part "" is the package. Parts
// without any have no file of them.
func (a *Archive) relations(of string) (map[string]relation, error) {
	dir, file := path.Split(of)
	name := dir + "_rels/" + file + ".rels"
	if !a.Has(name) {
		return nil, nil
	}
	data, err := a.Read(name)
	if err != nil {
		return nil, err
	}
	m := map[string]relation{}
	err = parse(data, func(x *reader, _ xml.StartElement) error {
		return x.each(nil, func(e xml.StartElement) error {
			if e.Name.Local == "Relationship" && attr(e, "TargetMode") != "External" {
				target := attr(e, "Target")
				if rooted, ok := strings.CutPrefix(target, "/"); ok {
					target = rooted
				} else {
					target = path.Join(dir, target)
				}
				m[attr(e, "Id")] = relation{kind: path.Base(attr(e, "Type")), target: target}
			}
			return x.skip()
		})
	})
	if err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// related returns the part of a kind that relations name, empty for none.
func related(relations map[string]relation, kind string) string {
	best := ""
	for _, r := range relations {
		if r.kind == kind && (best == "" || r.target < best) {
			best = r.target
		}
	}
	return best
}

// beside is related, or the part that lies beside another under the usual name,
// which some programs do not name.
func (a *Archive) beside(part string, relations map[string]relation, kind string) string {
	name := related(relations, kind)
	if usual := path.Join(path.Dir(part), kind+".xml"); name == "" && a.Has(usual) {
		name = usual
	}
	return name
}

// mainPart returns the part that a document begins with, the relations of the
// package, and the title among its properties.
func (a *Archive) mainPart(fallback string) (main, title string, err error) {
	relations, err := a.relations("")
	if err != nil {
		return "", "", err
	}
	core := related(relations, "core-properties")
	if core == "" {
		core = "docProps/core.xml"
	}
	if a.Has(core) {
		if data, err := a.Read(core); err == nil {
			var properties struct {
				Title string `xml:"title"`
			}
			if xml.Unmarshal(data, &properties) == nil && !generated(properties.Title) {
				title = properties.Title
			}
		}
	}
	if main = related(relations, "officeDocument"); main == "" {
		main = fallback
	}
	return main, title, nil
}
