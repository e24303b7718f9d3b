package eval

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Settings are what all scores of a log have in common.
type Settings struct {
	Model   string `json:"model"`
	Compute string `json:"compute"`
	KV      string `json:"kv,omitempty"` // where not as the compute says
	Data    string `json:"data"`
	Index   string `json:"index"`
	Recipe  Recipe `json:"recipe"`
	BOS     bool   `json:"bos,omitempty"`      // whether it stands in front of every window
	Rounded string `json:"quantize,omitempty"` // what float weights were rounded to when the model was opened
	Reserve int    `json:"reserve,omitempty"`  // where virtual's texts start, where positions are learned
}

// Log collects scores, in a file if it has one: a line with the settings, then a
// line a window and row, so that an interrupted run goes on where it stopped.
type Log struct {
	lines  *lines // nil: in memory only
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
	l := NewLog()
	var err error
	l.lines, err = openLines(path, header{&s}, func(n int, line []byte) error { return l.take(n, line, s, windows) })
	return l, err
}

// header is the first line.
type header struct {
	Settings *Settings `json:"settings"`
}

// take takes up line n of a log.
func (l *Log) take(n int, line []byte, s Settings, windows []Window) error {
	if n == 1 {
		var h header
		if err := json.Unmarshal(line, &h); err != nil || h.Settings == nil {
			return errors.New("not the settings of a log of scores")
		}
		if *h.Settings != s {
			return fmt.Errorf("the scores were measured with %+v, these would be with %+v", *h.Settings, s)
		}
		return nil
	}
	var score Score
	if err := json.Unmarshal(line, &score); err != nil {
		return fmt.Errorf("not a score: %w", err)
	}
	if err := score.check(s.Recipe, windows); err != nil {
		return err
	}
	l.scores[logKey{score.Row, score.Adapter, score.Window}] = score
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
	return l.lines.add(s)
}

// Close syncs and closes the file, if there is one.
func (l *Log) Close() error { return l.lines.close() }
