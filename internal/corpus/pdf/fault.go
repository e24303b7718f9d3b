package pdf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault says which pages hold no text, or what else was lost, and why: Err is one of
// the errors below.
type Fault struct {
	Pages []int // from 1, in order; none: the file as a whole
	Err   error
}

// What may be lost of a file that is read all the same.
var (
	ErrCut     = errors.New("its end is lost or damaged, what else is there was read")
	ErrDamaged = errors.New("damaged, cannot be read")
	ErrTooHard = errors.New("more time or memory than one page may take")
	ErrGarbled = errors.New("a font does not say which letters it shows; run an OCR program first")
	ErrScanned = errors.New("scanned, holds no text; run an OCR program first")
	ErrBlank   = errors.New("blank or damaged, holds no text") // most often blank
)

// Faults is all that was lost of one file.
type Faults []Fault

// Error says what was lost, in one line.
func (f Faults) Error() string {
	all := make([]string, len(f))
	for i, one := range f {
		all[i] = one.Error()
	}
	return strings.Join(all, "; ")
}

// OnlyBlank reports whether nothing is amiss but pages that are most likely blank.
func (f Faults) OnlyBlank() bool {
	return !slices.ContainsFunc(f, func(one Fault) bool { return one.Err != ErrBlank })
}

// Error says which pages hold no text and why: "pages 3, 5-9: scanned, ...".
func (f Fault) Error() string {
	if len(f.Pages) == 0 {
		return f.Err.Error()
	}
	var runs []string
	for i := 0; i < len(f.Pages); {
		j := i
		for j+1 < len(f.Pages) && f.Pages[j+1] == f.Pages[j]+1 {
			j++
		}
		run := strconv.Itoa(f.Pages[i])
		if j > i {
			run += "-" + strconv.Itoa(f.Pages[j])
		}
		runs = append(runs, run)
		i = j + 1
	}
	const most = 10
	if more := len(runs) - most; more > 0 {
		runs = append(runs[:most], fmt.Sprintf("and %d more places", more))
	}
	noun := "page "
	if len(f.Pages) > 1 {
		noun = "pages "
	}
	return noun + strings.Join(runs, ", ") + ": " + f.Err.Error()
}

// faults collects pages by reason.
type faults map[error][]int

func (f faults) add(reason error, page int) { f[reason] = append(f[reason], page) }

func (f faults) list() Faults {
	var out Faults
	for _, reason := range []error{ErrDamaged, ErrTooHard, ErrGarbled, ErrScanned, ErrBlank} {
		if pages := f[reason]; pages != nil {
			out = append(out, Fault{Pages: pages, Err: reason})
		}
	}
	return out
}
