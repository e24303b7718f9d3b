package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// Record is a line of the log: a step, or a validation after one.
type Record struct {
	Step     int     `json:"step"` // from 1
	Loss     float64 `json:"loss"` // mean over the step's targets
	LR       float64 `json:"lr"`
	GradNorm float64 `json:"grad_norm"` // before clipping
	Tokens   int     `json:"tokens"`    // encoded
	Targets  int     `json:"targets"`   // that the loss is over
	Seconds  float64 `json:"seconds"`   // that the step took
	// Validation is the mean loss of the validation windows; a line that has it has
	// only the step besides.
	Validation *float64 `json:"validation_loss,omitempty"`
}

// MarshalJSON leaves out of a validation what only steps have.
func (r Record) MarshalJSON() ([]byte, error) {
	if r.Validation != nil {
		return json.Marshal(struct {
			Step       int     `json:"step"`
			Validation float64 `json:"validation_loss"`
		}{r.Step, *r.Validation})
	}
	type plain Record
	return json.Marshal(plain(r))
}

// maxLine bounds a line of a log, and maxRecords how many are read.
const (
	maxLine    = 1 << 16
	maxRecords = 1 << 22
)

// ReadLog reads the log of a training, ours or another program's that writes lines
// with "step" and "loss".
func ReadLog(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := parseLog(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return records, nil
}

// parseLog returns the records of a log; its errors begin with the line's number.
func parseLog(r io.Reader) ([]Record, error) {
	var records []Record
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		record := Record{Loss: math.NaN()}
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			return records, fmt.Errorf("%d: not a record of a training: %w", n, err)
		}
		switch {
		case record.Step < 0 || record.Step > 1<<30:
			return records, fmt.Errorf("%d: step %d makes no sense", n, record.Step)
		case record.Validation == nil && math.IsNaN(record.Loss):
			return records, fmt.Errorf("%d: neither a loss nor a validation_loss", n)
		case len(records) == maxRecords:
			return records, fmt.Errorf("%d: more than %d lines, no log of a training", n, maxRecords)
		}
		records = append(records, record)
	}
	if err := lines.Err(); err != nil {
		return records, fmt.Errorf("%d: %w", n+1, err)
	}
	return records, nil
}

// log appends records to a file.
type log struct{ file *os.File }

// openLog opens the log at path, or makes it, and drops what lies behind the state
// that the run goes on from: a line that a crash cut off, and later steps, which
// will be taken again.
func openLog(path string, s state) (*log, error) {
	var records []Record
	if old, err := os.Open(path); err == nil {
		records, _ = parseLog(old) // what follows a line that is none of ours is dropped too
		old.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := atomicfile.Write(path, func(w io.Writer) error {
		for _, r := range records {
			if r.Step > s.Step || r.Validation != nil && r.Step > s.Validated {
				continue
			}
			if err := json.NewEncoder(w).Encode(r); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	return &log{file}, err
}

func (l *log) add(r Record) error { return json.NewEncoder(l.file).Encode(r) }

func (l *log) close() error { return l.file.Close() }
