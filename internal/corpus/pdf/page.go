package pdf

import (
	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// page is what a page shows, in the order of the file.
type page struct {
	number int
	lines  []line
	fault  error // what is missed; nil: nothing
}

// box is where something stands, in points; y runs upward.
type box struct{ left, bottom, right, top float64 }

func (b box) height() float64 { return b.top - b.bottom }

// join returns the smallest box around both.
func (b box) join(c box) box {
	return box{min(b.left, c.left), min(b.bottom, c.bottom), max(b.right, c.right), max(b.top, c.top)}
}

// level reports whether two boxes stand on one line: what they share of the height
// is most of the lower one's.
func (b box) level(c box) bool {
	shared := min(b.top, c.top) - max(b.bottom, c.bottom)
	return shared > 0.5*min(b.height(), c.height())
}

// What of a page is looked at closer, so that a hostile one cannot take hours.
const (
	maxLetters = 50000 // that are asked for one by one
	maxPlaced  = 2000  // lines whose places are asked for
	maxObjects = 1000  // objects and annotations
	maxNesting = 4     // of forms within forms
)

// page reads page number, counted from 1.
func (s *session) page(number int) (p page, err error) {
	err = s.guard(func() error {
		s.unknown = false
		ref, err := s.load(number)
		if err != nil {
			return err
		}
		if p.lines, err = s.lines(ref); err != nil {
			return err
		}
		if drawn, err := s.drawAnnotations(ref); err != nil {
			return err
		} else if drawn {
			s.unload(ref)
			if ref, err = s.load(number); err != nil {
				return err
			}
			all, err := s.lines(ref)
			if err != nil {
				return err
			}
			p.lines = addDrawn(p.lines, all)
		}
		defer s.unload(ref)
		if s.unknown {
			p.fault = ErrGarbled
		}
		if len(p.lines) > 0 || s.unknown {
			return nil
		}
		p.fault, err = s.whyEmpty(ref)
		return err
	})
	return p, err
}

func (s *session) load(number int) (requests.Page, error) {
	loaded, err := s.engine.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: s.doc, Index: number - 1})
	if err != nil {
		return requests.Page{}, err
	}
	return requests.Page{ByReference: &loaded.Page}, nil
}

func (s *session) unload(ref requests.Page) {
	s.engine.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: *ref.ByReference})
}

// drawAnnotations makes what fields of forms, notes and stamps show part of the
// page, where they stand. It reports whether there were any.
func (s *session) drawAnnotations(ref requests.Page) (bool, error) {
	count, err := s.engine.FPDFPage_GetAnnotCount(&requests.FPDFPage_GetAnnotCount{Page: ref})
	if err != nil {
		return false, err
	}
	for i := range min(count.Count, maxObjects) {
		annotation, err := s.engine.FPDFPage_GetAnnot(&requests.FPDFPage_GetAnnot{Page: ref, Index: i})
		if err != nil {
			continue // no annotation
		}
		kind, err := s.engine.FPDFAnnot_GetSubtype(&requests.FPDFAnnot_GetSubtype{Annotation: annotation.Annotation})
		s.engine.FPDFPage_CloseAnnot(&requests.FPDFPage_CloseAnnot{Annotation: annotation.Annotation})
		if err != nil {
			return false, err
		}
		switch kind.Subtype {
		case enums.FPDF_ANNOT_SUBTYPE_WIDGET, enums.FPDF_ANNOT_SUBTYPE_FREETEXT, enums.FPDF_ANNOT_SUBTYPE_STAMP:
			if s.form != "" { // draws the values of fields that no program has drawn
				if _, err := s.engine.FORM_OnAfterLoadPage(&requests.FORM_OnAfterLoadPage{Page: ref, FormHandle: s.form}); err != nil {
					return false, err
				}
			}
			_, err := s.engine.FPDFPage_Flatten(&requests.FPDFPage_Flatten{Page: ref, Usage: requests.FPDFPage_FlattenUsageNormalDisplay})
			return true, err
		}
	}
	return false, nil
}

// whyEmpty tells what stands on a page without text.
func (s *session) whyEmpty(ref requests.Page) (fault, err error) {
	count, err := s.engine.FPDFPage_CountObjects(&requests.FPDFPage_CountObjects{Page: ref})
	if err != nil {
		return nil, err
	}
	if count.Count <= 0 {
		return ErrBlank, nil
	}
	for i := range min(count.Count, maxObjects) {
		object, err := s.engine.FPDFPage_GetObject(&requests.FPDFPage_GetObject{Page: ref, Index: i})
		if err != nil {
			return nil, err
		}
		if picture, err := s.isPicture(object.PageObject, 0); err != nil || picture {
			return ErrScanned, err
		}
	}
	return nil, nil // lines and areas only
}

// isPicture reports whether an object is a picture or a form that holds one.
func (s *session) isPicture(ref references.FPDF_PAGEOBJECT, depth int) (bool, error) {
	kind, err := s.engine.FPDFPageObj_GetType(&requests.FPDFPageObj_GetType{PageObject: ref})
	if err != nil {
		return false, err
	}
	if kind.Type != enums.FPDF_PAGEOBJ_FORM || depth == maxNesting {
		return kind.Type == enums.FPDF_PAGEOBJ_IMAGE, nil
	}
	count, err := s.engine.FPDFFormObj_CountObjects(&requests.FPDFFormObj_CountObjects{PageObject: ref})
	if err != nil {
		return false, err
	}
	for i := range min(count.Count, maxObjects) {
		object, err := s.engine.FPDFFormObj_GetObject(&requests.FPDFFormObj_GetObject{PageObject: ref, Index: uint64(i)})
		if err != nil {
			return false, err
		}
		if picture, err := s.isPicture(object.PageObject, depth+1); err != nil || picture {
			return picture, err
		}
	}
	return false, nil
}
