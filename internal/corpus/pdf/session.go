package pdf

import (
	"errors"
	"sync/atomic"
	"time"

	pdfium "github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/structs"
)

// session is one file, open in an engine of its own: whatever the file does to it
// ends with the session.
type session struct {
	engine pdfium.Pdfium
	doc    references.FPDF_DOCUMENT
	form   references.FPDF_FORMHANDLE // empty: the file has no form
	pages  int                        // as the file says
	killed atomic.Bool                // the engine took too long, or is no longer needed

	fonts   map[string]font // by name, of those that do not say what they show
	unknown bool            // the present page has letters that nobody knows
}

// open opens a file for which no password is needed.
func open(data []byte) (*session, error) {
	pool, err := engine()
	if err != nil {
		return nil, err
	}
	instance, err := pool.GetInstance(10 * pageTime) // all may be busy
	if err != nil {
		return nil, ErrLimit
	}
	s := &session{engine: instance, fonts: map[string]font{}}
	err = s.guard(func() error {
		opened, err := instance.OpenDocument(&requests.OpenDocument{File: &data})
		if err != nil {
			return err
		}
		s.doc = opened.Document
		count, err := instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: s.doc})
		if err != nil {
			return err
		}
		s.pages = count.PageCount
		return s.openForm()
	})
	if err == nil && s.pages > 0 {
		return s, nil
	}
	switch {
	case errors.Is(err, pdfiumerrors.ErrPassword):
		err = ErrPassword
	case errors.Is(err, pdfiumerrors.ErrSecurity):
		err = ErrSecurity
	case errors.Is(err, pdfiumerrors.ErrFormat), errors.Is(err, pdfiumerrors.ErrFile),
		errors.Is(err, pdfiumerrors.ErrPage), errors.Is(err, pdfiumerrors.ErrUnknown), err == nil:
		err = ErrFormat
	default: // the engine's own words are about its innards
		err = ErrLimit
	}
	s.close()
	return nil, err
}

// openForm prepares the fields of a form, if there is one, to be drawn.
func (s *session) openForm() error {
	kind, err := s.engine.FPDF_GetFormType(&requests.FPDF_GetFormType{Document: s.doc})
	if err != nil || kind.FormType == enums.FPDF_FORMTYPE_NONE {
		return err
	}
	form, err := s.engine.FPDFDOC_InitFormFillEnvironment(&requests.FPDFDOC_InitFormFillEnvironment{
		Document: s.doc,
		FormFillInfo: structs.FPDF_FORMFILLINFO{ // nobody fills it in
			FFI_Invalidate:         func(references.FPDF_PAGE, float64, float64, float64, float64) {},
			FFI_SetCursor:          func(enums.FXCT) {},
			FFI_SetTimer:           func(int, func(int)) int { return 0 },
			FFI_KillTimer:          func(int) {},
			FFI_GetLocalTime:       func() structs.FPDF_SYSTEMTIME { return structs.FPDF_SYSTEMTIME{} },
			FFI_GetPage:            func(references.FPDF_DOCUMENT, int) *references.FPDF_PAGE { return nil },
			FFI_GetRotation:        func(references.FPDF_PAGE) enums.FPDF_PAGE_ROTATION { return 0 },
			FFI_ExecuteNamedAction: func(string) {},
		},
	})
	if err != nil {
		return err
	}
	s.form = form.FormHandle
	return nil
}

// guard runs calls of the engine and stops it if they take more than pageTime.
func (s *session) guard(calls func() error) error {
	stopped := make(chan struct{})
	timer := time.AfterFunc(pageTime, func() {
		s.killed.Store(true)
		s.engine.Kill()
		close(stopped)
	})
	err := calls()
	if !timer.Stop() {
		<-stopped
	}
	return err
}

// close ends the engine, with whatever was open in it.
func (s *session) close() {
	if s != nil && !s.killed.Load() {
		s.engine.Kill()
		s.killed.Store(true)
	}
}

// title returns the title among the document's properties, empty if there is none.
func (s *session) title() string {
	title := ""
	_ = s.guard(func() error {
		meta, err := s.engine.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: s.doc, Tag: "Title"})
		if err == nil {
			title = meta.Value
		}
		return err
	})
	return title
}
