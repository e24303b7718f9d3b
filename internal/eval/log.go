package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLog bounds a log that is read: about a hundred thousand windows.
const maxLog = 1 << 30

// Settings are what all scores of a log have in common.
type Settings struct {
	Model   string `json:"model"`
	Compute string `json:"compute"`
	Data    string `json:"data"`
	Index   string `json:"index"`
	Recipe  Recipe `json:"recipe"`
}

// Log collects scores, in a file if it has one: a line with the settings, then a
// line a window and row. Each line is whole as soon as Add returns, so that an
// interrupted run goes on where it stopped.
type Log struct {
	file   *os.File // nil: in memory only
	path   string
	scores map[logKey]Score
	names  map[string]Adapter // what rows' adapters are
}

// logKey has the digest of the row's adapter too: scores of other adapters that had
// its name stay apart.
type logKey struct {
	row     string
	adapter string
	window  int
}

// Use says what the adapters are that rows name.
func (l *Log) Use(adapters map[string]Adapter) { l.names = adapters }

// NewLog returns a log in memory.
func NewLog() *Log { return &Log{scores: map[logKey]Score{}} }

// OpenLog opens the log at path, or makes it, and reads what is there. A last line
// that was cut off by a crash is dropped; scores with other settings or of other
// windows are an error, never mixed in.
func OpenLog(path string, s Settings, windows []Window) (*Log, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	l := &Log{file: file, path: path, scores: map[logKey]Score{}}
	if err := l.resume(s, windows); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

// resume reads the file's whole lines, drops the rest, and goes on behind them.
func (l *Log) resume(s Settings, windows []Window) error {
	data, err := io.ReadAll(io.LimitReader(l.file, maxLog+1))
	if err != nil {
		return err
	}
	if len(data) > maxLog {
		return fmt.Errorf("%s: larger than %d MiB, no log of scores; name another file", l.path, maxLog>>20)
	}
	if len(data) == 0 {
		return l.write(header{&s})
	}
	lines := data[:bytes.LastIndexByte(data, '\n')+1]
	if len(lines) == 0 {
		return fmt.Errorf("%s: no log of scores; name another file", l.path)
	}
	if err := l.read(lines, s, windows); err != nil {
		return err
	}
	if err := l.file.Truncate(int64(len(lines))); err != nil {
		return err
	}
	_, err = l.file.Seek(int64(len(lines)), io.SeekStart)
	return err
}

// header is the first line.
type header struct {
	Settings *Settings `json:"settings"`
}

// read takes up the lines of a log.
func (l *Log) read(data []byte, s Settings, windows []Window) error {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		bad := func(err error) error {
			return fmt.Errorf("%s:%d: %w; name another file, or remove the line", l.path, n, err)
		}
		if n == 1 {
			var h header
			if err := json.Unmarshal(line, &h); err != nil || h.Settings == nil {
				return fmt.Errorf("%s:1: not the settings of a log of scores; name another file", l.path)
			}
			if *h.Settings != s {
				return fmt.Errorf("%s: its scores were measured with %+v, these would be with %+v; name another file", l.path, *h.Settings, s)
			}
			continue
		}
		var score Score
		if err := json.Unmarshal(line, &score); err != nil {
			return bad(fmt.Errorf("not a score: %w", err))
		}
		if err := score.check(s.Recipe, windows); err != nil {
			return bad(err)
		}
		l.scores[logKey{score.Row, score.Adapter, score.Window}] = score
	}
	return nil
}

// check refuses a score that is not of the windows and the recipe.
func (s Score) check(r Recipe, windows []Window) error {
	if s.Window < 0 {
		return fmt.Errorf("window %d: must not be negative", s.Window)
	}
	if s.Window < len(windows) && windows[s.Window].Document != s.Document {
		return fmt.Errorf("window %d is of document %q, in the data it is of %q", s.Window, s.Document, windows[s.Window].Document)
	}
	contexts := r.Contexts()
	if len(s.Strides) != len(contexts) {
		return fmt.Errorf("%d strides, the recipe has %d", len(s.Strides), len(contexts))
	}
	for i, st := range s.Strides {
		if st.Context != contexts[i] || len(st.LogProbs) != r.Stride || st.Words < 0 {
			return fmt.Errorf("stride %d is not one of the recipe: context %d, %d log-probabilities, %d words", i, st.Context, len(st.LogProbs), st.Words)
		}
	}
	return nil
}

// Has reports whether the window's score is there.
func (l *Log) Has(r Row, w Window) bool {
	_, ok := l.Score(r, w)
	return ok
}

// Score returns the score of a window, if it is there.
func (l *Log) Score(r Row, w Window) (Score, bool) {
	s, ok := l.scores[logKey{r.String(), l.names[r.Adapter].Digest, w.Index}]
	return s, ok
}

// Complete returns the windows that have a score of every row: what rows can be
// compared on.
func (l *Log) Complete(rows []Row, windows []Window) []Window {
	var complete []Window
	for _, w := range windows {
		all := true
		for _, r := range rows {
			all = all && l.Has(r, w)
		}
		if all {
			complete = append(complete, w)
		}
	}
	return complete
}

// Add logs a score.
func (l *Log) Add(s Score) error {
	l.scores[logKey{s.Row, s.Adapter, s.Window}] = s
	return l.write(s)
}

func (l *Log) write(v any) error {
	if l.file == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// Close syncs and closes the file, if there is one.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Sync(), l.file.Close())
}
