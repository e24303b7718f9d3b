package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/adapters"
	"github.com/flashback-lm/flashback/internal/server"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	model             modelFlags
	indexes, adapters []string
	listen, keys      string
	library           string
	times             server.Times
	log               logFlags
	config            config
	pprof, otlp       string
	options           server.Options
}

func newServeCmd() *cobra.Command {
	f := serveFlags{options: server.Defaults()}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the model over an OpenAI-compatible HTTP API",
		Long: `Serve answers OpenAI's HTTP API: chats, completions and models, for any of its
clients. A client chooses by the model's name, base[+adapter][@index]: the model alone
looks nothing up, smollm2-135m@notes looks up in the index notes every few tokens. What
else may be asked of retrieval stands in one object of the body, "flashback"; see
docs/serving.md.

At / is a page for people: it asks, shows which passages an answer is from, and keeps
the indexes; see docs/page.md.

With --keys each request needs a key, which says what indexes and adapters it may use.
Without, everybody on this machine may ask, and nobody else: --listen then takes a
loopback address only.

With --library clients may also upload files and make indexes of them, or add them to
those of --index: they are then kept in a folder beside it, which 'flashback sync' knows.

Each flag can also be set by a variable, --max-queue by FLASHBACK_MAX_QUEUE, and in the
file of --config, as max-queue: 64; --print-config shows what holds and where it is from.

SIGTERM or Ctrl-C lets what is under way end, for --shutdown-timeout; a second one ends
the process at once.`,
		Example: `  flashback serve --index notes=notes.index
  flashback serve --index notes=notes.index --index law=law.index --adapter law=law.adapter
  flashback serve --index notes=notes.index --library ~/flashback-library
  flashback serve --index notes=notes.index --keys keys.txt --listen :8080 --kv-budget 4GB
  flashback serve --config serve.yaml --print-config
  curl localhost:8080/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{"model": "smollm2-135m@notes", "messages": [{"role": "user", "content": "Where are the keys?"}]}'`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.model.add(cmd)
	f.model.remote.add(cmd)
	addTemplate(cmd.Flags(), &f.model.template)
	fs, o := cmd.Flags(), &f.options
	fs.StringArrayVar(&f.indexes, "index", nil, "an index that requests may name, as `NAME=DIR` (repeatable); what 'flashback sync' changes of it is seen at once")
	fs.StringVar(&f.library, "library", "", "the `DIR` for files that clients upload and indexes that they make, made if need be; empty: they make none")
	fs.StringArrayVar(&f.adapters, "adapter", nil, "an adapter that requests may name, as `NAME=DIR`, or none for the model without the one for answers that comes with the program (repeatable)")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8080", "the `ADDRESS` to answer at")
	fs.StringVar(&f.keys, "keys", "", "a `FILE` of keys: a line each of a name, a secret, indexes=A,B, adapters=C and manage")
	fs.StringVar(&o.System, "system", askSystem, "the system `MESSAGE` of chats that look passages up and bring none; empty: the model's own")
	fs.IntVar(&o.MaxTokens, "tokens", o.MaxTokens, "tokens to write at most where a request does not say")
	fs.BoolVar(&o.SharePrompts, "share-prompts", false, "reuse the KV of one key's texts and passages for other keys, which can tell by the time that an answer takes")
	fs.BoolVar(&o.Ollama, "ollama", false, "speak Ollama's API too, for clients that have no other")
	fs.StringVar(&o.PublicURL, "public-url", "", "what the addresses of passages begin with, where clients reach the server by another `URL` than it sees")
	fs.DurationVar(&f.times.Shutdown, "shutdown-timeout", 30*time.Second, "how long what is under way may go on when the server is told to end")
	fs.Int64Var(&o.MaxBody, "max-body", o.MaxBody, "bytes that a request may have")
	fs.Int64Var(&o.MaxUpload, "max-upload", o.MaxUpload, "bytes that an uploaded file may have")
	fs.DurationVar(&o.UploadTime, "upload-timeout", o.UploadTime, "how long the next piece of an upload may take to come")
	fs.IntVar(&o.MaxQueue, "max-queue", o.MaxQueue, "requests that wait for room in the KV budget; more are refused")
	fs.DurationVar(&o.QueueTime, "queue-timeout", o.QueueTime, "how long a request waits for room")
	fs.IntVar(&o.PerKey, "max-per-key", o.PerKey, "requests of one key at once, waiting ones too")
	fs.DurationVar(&f.times.Header, "header-timeout", 10*time.Second, "how long the head of a request may take to come")
	fs.DurationVar(&o.BodyTime, "body-timeout", o.BodyTime, "how long its body may take")
	fs.IntVar(&o.StreamBuffer, "stream-buffer", o.StreamBuffer, "bytes of a stream that wait for a slow reader; then its text is not written on")
	fs.DurationVar(&o.StreamTime, "stream-timeout", o.StreamTime, "how long a slow reader may take none of them")
	fs.DurationVar(&o.RetrievalTime, "retrieval-timeout", o.RetrievalTime, "how long one look-up of passages may take")
	fs.StringVar(&f.pprof, "pprof", "", "an `ADDRESS` of this machine to tell profiles at, such as 127.0.0.1:6060; empty: none")
	fs.StringVar(&f.otlp, "otlp", "", "the `URL` of an OpenTelemetry collector to send traces to, such as http://localhost:4318; empty: that of OTEL_EXPORTER_OTLP_ENDPOINT, or none")
	f.log.add(cmd)
	f.config.add(cmd)
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) (err error) {
	if err := f.config.read(cmd.Flags(), os.Getenv); err != nil {
		return err
	}
	if f.config.print {
		shown, err := f.config.show(cmd.Flags())
		fmt.Fprint(cmd.OutOrStdout(), shown)
		return err
	}
	if err := f.model.check(); err != nil {
		return err
	}
	o := &f.options
	for _, c := range []struct {
		name  string
		value int64
	}{
		{"tokens", int64(o.MaxTokens)}, {"max-body", o.MaxBody}, {"max-upload", o.MaxUpload}, {"upload-timeout", int64(o.UploadTime)}, {"max-queue", int64(o.MaxQueue)}, {"queue-timeout", int64(o.QueueTime)}, {"max-per-key", int64(o.PerKey)},
		{"header-timeout", int64(f.times.Header)}, {"body-timeout", int64(o.BodyTime)}, {"stream-buffer", int64(o.StreamBuffer)}, {"stream-timeout", int64(o.StreamTime)},
		{"retrieval-timeout", int64(o.RetrievalTime)},
	} {
		if c.value <= 0 {
			return usagef("--%s: must be more than 0", c.name)
		}
	}
	if o.Log, err = f.log.open(cmd.ErrOrStderr()); err != nil {
		return err
	}
	f.model.warn = func(w string) { o.Log.Warn(w) }
	if err := f.readKeys(); err != nil {
		return err
	}
	listener, err := listen("listen", f.listen, f.keys == "", "give them --keys, or listen on 127.0.0.1")
	if err != nil {
		return err
	}
	defer listener.Close()
	if f.pprof != "" {
		profiles, err := listen("pprof", f.pprof, true, "profiles are for this one; listen on 127.0.0.1")
		if err != nil {
			return err
		}
		defer profiles.Close()
		go http.Serve(profiles, server.Profiles())
	}
	tracer, flush, err := server.OpenTraces(cmd.Context(), f.otlp)
	if err != nil {
		return usagef("--otlp: %v", err)
	}
	o.Tracer = tracer
	defer func() {
		late, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		if err := flush(late); err != nil {
			o.Log.Warn("the last traces were not sent", "error", err)
		}
	}()
	if o.Stores, err = f.openLibrary(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Stores.Close()) }()
	var engine *flashback.Engine
	defer func() {
		if engine != nil {
			err = errors.Join(err, engine.Close())
		}
	}()
	return server.Run(cmd.Context(), listener, f.times, func() (_ *server.Server, err error) {
		if engine, err = flashback.Open(f.model.options()); err != nil {
			return nil, err
		}
		o.Model, o.Name, o.Version = server.Serve(engine), baseName(f.model.model), version()
		if err := f.loadAdapters(engine); err != nil {
			return nil, err
		}
		s, err := server.New(*o)
		if err == nil {
			server.FitProcess(engine.Info())
			o.Log.Info(fmt.Sprintf("Serving %s at http://%[2]s/v1, with its page at http://%[2]s", o.Name, listener.Addr()))
		}
		return s, err
	})
}

// flushTime is how long the last traces may take to be sent.
const flushTime = 5 * time.Second

// readKeys reads the file of keys, if there is one.
func (f *serveFlags) readKeys() error {
	if f.keys == "" {
		return nil
	}
	file, err := os.Open(f.keys)
	if err != nil {
		return fmt.Errorf("cannot read the keys: %w", err)
	}
	defer file.Close()
	if f.options.Keys, err = server.ReadKeys(file); err != nil {
		return fmt.Errorf("cannot read the keys in %s: %w", f.keys, err)
	}
	return nil
}

// listen listens at the address that a flag gives, which may have to be this machine's.
func listen(flag, address string, here bool, or string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	if addr := l.Addr().(*net.TCPAddr); here && !addr.IP.IsLoopback() {
		l.Close()
		return nil, usagef("--%s %s lets other machines ask: %s", flag, address, or)
	}
	return l, nil
}

// loadAdapters loads the adapters that requests may name, and the one for answers that
// comes with the program where it is for this model.
func (f *serveFlags) loadAdapters(e *flashback.Engine) error {
	o, own := &f.options, f.model.model == flashback.DefaultModel && !f.model.remote.used()
	for _, named := range f.adapters {
		if named == noAdapter {
			own = false
			continue
		}
		name, dir, err := nameAndDir("adapter", named)
		if err != nil {
			return err
		}
		a, err := e.LoadAdapter(dir)
		if err != nil {
			return err
		}
		for _, other := range o.Adapters {
			if other.Name == name {
				return usagef("--adapter %s: the name is given twice", named)
			}
		}
		o.Adapters = append(o.Adapters, server.Adapter{Name: name, Loaded: a, Info: a.Info()})
	}
	if own {
		a, err := e.LoadAdapterFS(adapters.Answers(), adapters.AnswersName)
		if err != nil {
			return fmt.Errorf("%w; or serve without it by --adapter %s", err, noAdapter)
		}
		o.Answers = &server.Adapter{Name: adapters.AnswersName, Loaded: a, Info: a.Info()}
	}
	return nil
}

// nameAndDir splits what a flag names.
func nameAndDir(flag, s string) (name, dir string, err error) {
	name, dir, ok := strings.Cut(s, "=")
	if !ok || dir == "" || !server.CheckName(name) {
		return "", "", usagef("--%s %q: give NAME=DIR, the name of letters, digits, '.', '_' and '-'", flag, s)
	}
	return name, dir, nil
}

// baseName is what clients call a model: the end of a path without what follows a dot of
// a file, and without what would be read as an adapter or an index.
func baseName(model string) string {
	name, _, _ := strings.Cut(filepath.Base(strings.TrimPrefix(model, "hf:")), ":")
	return strings.NewReplacer("+", "-", "@", "-").Replace(strings.TrimSuffix(name, ".gguf"))
}
