package flashback

import (
	"io/fs"

	"github.com/flashback-lm/flashback/internal/engine"
	"github.com/flashback-lm/flashback/internal/lora"
)

// Adapter is a trained change of an engine's model, for requests to choose. It
// needs no closing.
type Adapter struct {
	loaded *engine.Adapter
}

// AdapterInfo is what an adapter was trained for; the zero value is that of one
// which PEFT wrote.
type AdapterInfo = lora.Info

// LoadAdapter loads the adapter at path: a directory that `flashback train`, PEFT or
// mlx-lm wrote, or a GGUF file of llama.cpp's. Any number may be loaded. One of another
// base model is an error.
func (e *Engine) LoadAdapter(path string) (*Adapter, error) {
	if e.engine == nil {
		return nil, errNoAdapters(e.backend)
	}
	loaded, err := e.engine.OpenAdapter(path)
	if err != nil {
		return nil, err
	}
	return &Adapter{loaded}, nil
}

// LoadAdapterFS is LoadAdapter of the files in fsys, such as those of package
// adapters; errors call it by name.
func (e *Engine) LoadAdapterFS(fsys fs.FS, name string) (*Adapter, error) {
	if e.engine == nil {
		return nil, errNoAdapters(e.backend)
	}
	loaded, err := e.engine.OpenAdapterFS(fsys, name)
	if err != nil {
		return nil, err
	}
	return &Adapter{loaded}, nil
}

// Info returns what the adapter was trained for.
func (a *Adapter) Info() AdapterInfo { return a.loaded.Source().Info }

// Digest returns the digest of the adapter's content, which names it whatever its directory.
func (a *Adapter) Digest() string { return a.loaded.Digest() }

// engine returns the adapter of the request as the engine knows it, or nil.
func (r Request) engine() *engine.Adapter {
	if r.Adapter == nil {
		return nil
	}
	return r.Adapter.loaded
}
