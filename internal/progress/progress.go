// Package progress shows how far long work is, on terminals only.
package progress

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/flashback-lm/flashback/internal/terminal"
)

// delay is how long work runs before a bar appears: short work shows none.
const delay = 2 * time.Second

// Bar is a progress bar. Its methods may be called by several goroutines.
type Bar struct {
	bar *progressbar.ProgressBar // nil where nothing is shown
}

// New returns a bar over total steps, or bytes where bytes is set; total -1 is
// unknown. It stays silent unless w is a terminal and the work takes a while.
func New(w io.Writer, label string, total int64, bytes bool) *Bar {
	if !terminal.Is(w) {
		return &Bar{}
	}
	return newBar(&lateWriter{w: terminal.Raw(w), from: time.Now().Add(delay)}, label, total, bytes)
}

func newBar(w io.Writer, label string, total int64, bytes bool) *Bar {
	return &Bar{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(label),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)}
}

// Add counts n more steps or bytes as done.
func (b *Bar) Add(n int) {
	if b.bar != nil {
		b.bar.Add(n)
	}
}

// Total says how many steps or bytes there are, where that was not known.
func (b *Bar) Total(n int64) {
	if b.bar != nil && n > 0 {
		b.bar.ChangeMax64(n)
	}
}

// Describe changes the label.
func (b *Bar) Describe(label string) {
	if b.bar != nil {
		b.bar.Describe(label)
	}
}

// Write counts the bytes of p, so that a bar can stand in an io.MultiWriter.
func (b *Bar) Write(p []byte) (int, error) {
	b.Add(len(p))
	return len(p), nil
}

// Finish takes the bar away, whether or not the work was completed.
func (b *Bar) Finish() {
	if b.bar != nil {
		b.bar.Finish()
	}
}

// lateWriter drops what is written before a moment.
type lateWriter struct {
	w    io.Writer
	from time.Time
}

func (l *lateWriter) Write(p []byte) (int, error) {
	if time.Now().Before(l.from) {
		return len(p), nil
	}
	return l.w.Write(p)
}
