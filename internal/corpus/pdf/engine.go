package pdf

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	pdfium "github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/flashback-lm/flashback/internal/hub"
)

// memoryPages is what one file may take, itself included, in pages of WebAssembly: 1 GiB.
const memoryPages = 1 << 30 / (64 << 10)

// pageTime is what one page may take.
var pageTime = 30 * time.Second

// engine returns PDFium, compiled to machine code. That takes seconds of processor
// time, so it is done at the first PDF only and kept in the cache for later runs.
var engine = sync.OnceValues(func() (pdfium.Pool, error) {
	if dir, err := hub.CacheDir(); err == nil {
		if cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(dir, "pdfium")); err == nil {
			if pool, err := start(runtimeConfig().WithCompilationCache(cache)); err == nil {
				return pool, nil
			}
		}
	}
	return start(runtimeConfig()) // the cache cannot be written, or is damaged
})

func runtimeConfig() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
		WithMemoryLimitPages(memoryPages).
		WithCloseOnContextDone(true)
}

func start(config wazero.RuntimeConfig) (pdfium.Pool, error) {
	pool, err := webassembly.Init(webassembly.Config{
		Context:       experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0)),
		MaxIdle:       1,
		MaxTotal:      runtime.GOMAXPROCS(0),
		RuntimeConfig: config,
		FSConfig:      wazero.NewFSConfig(), // no files
		Stdout:        io.Discard,
		Stderr:        io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot start the PDF engine: %w", err)
	}
	return pool, nil
}
