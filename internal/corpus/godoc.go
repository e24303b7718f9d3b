package corpus

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// GoDoc yields the documentation of the standard library under goroot: one
// document for a package's overview, for each function and for each type with
// its constants, constructors and methods, titled like "strings.Builder".
// Internal packages, commands and test data are left out.
func GoDoc(goroot string) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		src := filepath.Join(goroot, "src")
		if _, err := os.Stat(filepath.Join(src, "fmt")); err != nil {
			yield(Document{}, fmt.Errorf("no Go standard library under %s: %w", goroot, reason(err)))
			return
		}
		err := filepath.WalkDir(src, func(dir string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() || dir == src {
				return nil
			}
			if strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir // as the go command does
			}
			switch d.Name() {
			case "internal", "vendor", "testdata", "cmd", "builtin":
				return fs.SkipDir
			}
			rel, err := filepath.Rel(src, dir)
			if err != nil {
				return err
			}
			if !goPackage(dir, filepath.ToSlash(rel), yield) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(Document{}, fmt.Errorf("cannot read the standard library: %w", err))
		}
	}
}

// goPackage yields the documents of one package and reports whether to go on.
func goPackage(dir, importPath string, yield func(Document, error) bool) bool {
	info, err := build.Default.ImportDir(dir, 0)
	if err != nil {
		return true // no Go files for this platform
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range slices.Concat(info.GoFiles, info.CgoFiles) {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return yield(Document{}, &FileError{Source: path.Join("src", importPath, name), Err: err})
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, importPath)
	if err != nil {
		return yield(Document{}, &FileError{Source: path.Join("src", importPath), Err: err})
	}
	g := goDocs{fset: fset, pkg: pkg, dir: path.Join("src", importPath), yield: yield}
	return g.all()
}

// goDocs writes one package's documents.
type goDocs struct {
	fset  *token.FileSet
	pkg   *doc.Package
	dir   string
	yield func(Document, error) bool
	text  strings.Builder
	// places name each function and method as a heading of its own.
	places []Place
}

func (g *goDocs) all() bool {
	g.prose(g.pkg.Doc)
	g.values(g.pkg.Consts, g.pkg.Vars)
	if !g.emit("", token.NoPos) {
		return false
	}
	for _, f := range g.pkg.Funcs {
		g.funcs(f)
		if !g.emit("."+f.Name, f.Decl.Pos()) {
			return false
		}
	}
	for _, t := range g.pkg.Types {
		g.decl(t.Decl)
		g.prose(t.Doc)
		g.values(t.Consts, t.Vars)
		g.funcs(t.Funcs...)
		g.funcs(t.Methods...)
		if !g.emit("."+t.Name, t.Decl.Pos()) {
			return false
		}
	}
	return true
}

// emit yields what was written as one document, unless it is empty.
func (g *goDocs) emit(symbol string, pos token.Pos) bool {
	text, places := strings.TrimSpace(g.text.String()), g.places
	g.text.Reset()
	g.places = nil
	if text == "" {
		return true
	}
	source := g.dir
	if pos.IsValid() {
		source = path.Join(g.dir, filepath.Base(g.fset.Position(pos).Filename))
	}
	title := g.pkg.ImportPath + symbol
	return g.yield(Document{ID: title, Title: title, Text: text, Source: source, Places: places}, nil)
}

func (g *goDocs) prose(comment string) {
	if comment != "" {
		g.text.Write(g.pkg.Text(comment))
		g.text.WriteByte('\n')
	}
}

func (g *goDocs) decl(node any) {
	if err := format.Node(&g.text, g.fset, node); err == nil {
		g.text.WriteString("\n\n")
	}
}

func (g *goDocs) values(groups ...[]*doc.Value) {
	for _, v := range slices.Concat(groups...) {
		g.prose(v.Doc)
		v.Decl.Doc = nil
		g.decl(v.Decl)
	}
}

func (g *goDocs) funcs(fs ...*doc.Func) {
	for _, f := range fs {
		if g.text.Len() > 0 {
			g.places = append(g.places, Place{Offset: g.text.Len(), Headings: []string{f.Name}})
		}
		f.Decl.Doc, f.Decl.Body = nil, nil
		g.decl(f.Decl)
		g.prose(f.Doc)
	}
}
