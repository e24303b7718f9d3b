package main

import (
	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/library"
	"github.com/flashback-lm/flashback/internal/model"
)

// openLibrary opens the indexes that requests may name, and the directory for those that
// they make.
func (f *serveFlags) openLibrary() (*library.Library, error) {
	o := library.Options{Dir: f.library, Warn: func(err error) { f.options.Log.Warn(err.Error()) }}
	for _, named := range f.indexes {
		name, dir, err := nameAndDir("index", named)
		if err != nil {
			return nil, err
		}
		o.Indexes = append(o.Indexes, library.Given{Name: name, Dir: dir})
	}
	found, err := hub.Resolve(f.model.model)
	if err != nil {
		return nil, err
	}
	if o.Tokenizer, err = model.LoadTokenizer(found.Path); err != nil {
		return nil, err
	}
	return library.Open(o)
}
