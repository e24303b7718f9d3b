package folder

import "github.com/flashback-lm/flashback/internal/gitignore"

// level is a folder that was entered.
type level struct {
	parent *level // nil for the root
	path   string // to open it
	name   string // below the root, with slashes; "" for the root
	real   string // its path without links
	own    patterns
	above  []outer // of the root: the folders above it, nearest first
}

// outer is a folder above the root.
type outer struct {
	own   patterns
	below string // the root's path from there, with slashes
}

// child returns the name below the root of what has a name in l.
func (l *level) child(name string) string {
	if l.name == "" {
		return name
	}
	return l.name + "/" + name
}

// ignores reports what the ignore files say of what has that name in l: .ignore
// is heard before .gitignore, and that before what a repository has for all of
// its folders. Of one kind the nearest file that says anything is right.
func (l *level) ignores(name string, isDir bool) bool {
	path := l.child(name)
	for k := range kinds {
		if v := l.verdict(k, path, isDir); v != gitignore.Silent {
			return v == gitignore.Ignore
		}
	}
	return false
}

// verdict asks one kind of file from l upwards.
func (l *level) verdict(k kind, path string, isDir bool) gitignore.Verdict {
	for at := l; ; at = at.parent {
		below := path
		if at.name != "" {
			below = path[len(at.name)+1:]
		}
		if v := at.own.files[k].Match(below, isDir); v != gitignore.Silent || at.own.ends(k) {
			return v
		}
		if at.parent == nil {
			for _, o := range at.above {
				if v := o.own.files[k].Match(o.below+"/"+path, isDir); v != gitignore.Silent || o.own.ends(k) {
					return v
				}
			}
			return gitignore.Silent
		}
	}
}
