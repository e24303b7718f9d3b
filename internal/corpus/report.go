package corpus

import (
	"errors"
	"iter"
	"path"
	"strings"
)

// Report says what became of the files that were read.
type Report struct {
	Files int `json:"files"` // with text
	Empty int `json:"empty"` // without
	// Unknown counts files of kinds that cannot be read by their ending, with the dot.
	Unknown map[string]int `json:"unknown,omitempty"`
	// Guessed counts files by what their text was taken to be written in.
	Guessed map[string]int `json:"guessed_encodings,omitempty"`
	// BadFiles and BadRecords count what could not be read, PartFiles what could in part.
	BadFiles   int `json:"bad_files"`
	PartFiles  int `json:"part_files"`
	BadRecords int `json:"bad_records"`
	// Faults are the first MaxFaults of them; the bad records of a file are one.
	Faults []Fault `json:"faults,omitempty"`

	source  string // the last one that a document came from
	guessed bool   // its encoding is counted
	faulty  string // the last one with a bad record
}

// Fault is what could not be read of a file, and why.
type Fault struct {
	Source  string   `json:"source"`
	Line    int      `json:"line,omitempty"` // of the first bad record
	Records int      `json:"records,omitempty"`
	Part    bool     `json:"part,omitempty"`   // the rest of the file was read
	Fields  []string `json:"fields,omitempty"` // that one of them has, in place of the one for the text
	Reason  string   `json:"reason"`
}

// MaxFaults is how many faults a report names.
const MaxFaults = 10

// Watch passes documents on and keeps what is said of files that could not be read
// to the report. If it is strict, the first file or record that could not ends the
// iteration with its error.
func (r *Report) Watch(docs iter.Seq2[Document, error], strict bool) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for doc, err := range docs {
			if IsFileError(err) {
				r.Add(err)
				if !strict || Harmless(err) {
					continue
				}
			}
			if err == nil {
				r.document(&doc)
			}
			if !yield(doc, err) || err != nil {
				return
			}
		}
	}
}

func (r *Report) document(d *Document) {
	if r.Files == 0 || d.Source != r.source {
		r.source, r.guessed = d.Source, false
		r.Files++
	}
	if d.Encoding != "" && !r.guessed { // of records perhaps after the first
		tally(&r.Guessed, d.Encoding)
		r.guessed = true
	}
}

// Add takes an error about one file into the report.
func (r *Report) Add(err error) {
	e, ok := errors.AsType[*FileError](err)
	switch {
	case !ok:
		return
	case errors.Is(e, ErrNoText):
		r.Empty++
		return
	case errors.Is(e, ErrUnknown):
		tally(&r.Unknown, strings.ToLower(path.Ext(e.Source)))
		return
	case e.Line > 0:
		r.BadRecords++
		if r.faulty == e.Source {
			if last := &r.Faults[len(r.Faults)-1]; last.Source == e.Source && last.Records > 0 {
				last.Records++
				if last.Fields == nil {
					last.Fields = e.Fields
				}
			}
			return
		}
		r.faulty = e.Source
	case e.Part:
		r.PartFiles++
	default:
		r.BadFiles++
	}
	if len(r.Faults) < MaxFaults {
		r.Faults = append(r.Faults, Fault{Source: e.Source, Line: e.Line, Records: min(e.Line, 1), Part: e.Part, Fields: e.Fields, Reason: e.Err.Error()})
	}
}

func tally(m *map[string]int, key string) {
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[key]++
}
