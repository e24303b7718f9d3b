package server

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Bounds of the form that a file comes in.
const (
	maxParts  = 16
	maxField  = 1 << 10  // bytes of a part that is no file
	formBytes = 64 << 10 // of all parts but the file
)

// purposes are what files may be uploaded for.
var purposes = []string{"assistants", "user_data"}

// form is a file that is uploaded, as multipart/form-data with the parts purpose and
// file, in any order. It is read as it comes.
type form struct {
	parts   *multipart.Reader
	n       int // of parts so far
	purpose string
}

// readForm reads the head of a form with a file of at most limit bytes. A client that
// sends nothing for as long as patience is given up.
func readForm(w http.ResponseWriter, r *http.Request, limit int64, patience time.Duration) (*form, error) {
	r.Body = &incoming{http.MaxBytesReader(w, r.Body, limit+formBytes), http.NewResponseController(w), patience}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Type: invalidRequest, Code: "unsupported_media_type",
			Message: "the body must be multipart/form-data with the parts purpose and file"}
	}
	return &form{parts: parts}, nil
}

// file returns the file's name, as the client calls it, and what reads it.
func (f *form) file() (name string, r io.Reader, err error) {
	part, err := f.next()
	switch {
	case err != nil:
		return "", nil, err
	case part == nil:
		return "", nil, Invalid("file", "file: the form has no such part")
	case f.purpose != "":
		err = f.check() // before it comes
	}
	return part.FileName(), content{part}, err
}

// content is a file's part of a form; where it breaks off, the form is none.
type content struct{ part io.Reader }

func (c content) Read(p []byte) (int, error) {
	n, err := c.part.Read(p)
	if err != nil && err != io.EOF {
		err = formError(err)
	}
	return n, err
}

// end reads what stands behind the file, and returns its purpose.
func (f *form) end() (purpose string, err error) {
	part, err := f.next()
	if err == nil && part != nil {
		err = Invalid("file", "file: a form has one")
	}
	if err == nil {
		err = f.check()
	}
	return f.purpose, err
}

func (f *form) check() error {
	if !slices.Contains(purposes, f.purpose) {
		return Invalid("purpose", "purpose: give %s", strings.Join(purposes, " or "))
	}
	return nil
}

// next reads parts up to the next file, or returns nil where there is none.
func (f *form) next() (*multipart.Part, error) {
	for {
		part, err := f.parts.NextPart()
		switch {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, formError(err)
		}
		if f.n++; f.n > maxParts {
			return nil, Invalid("", "the form has more than %d parts", maxParts)
		}
		switch name := part.FormName(); {
		case name == "file":
			return part, nil
		case name == "purpose":
			value, err := io.ReadAll(io.LimitReader(part, maxField+1))
			if err != nil {
				return nil, formError(err)
			}
			if len(value) > maxField {
				return nil, Invalid("purpose", "purpose: it has more than %d bytes", maxField)
			}
			f.purpose = string(value)
		case strings.HasPrefix(name, "expires_after"):
			return nil, unsupported("expires_after", "expires_after: files are kept until they are deleted")
		}
	}
}

// formError says that a form is none; what the connection says of itself stays.
func formError(err error) error {
	var known *Error
	var tooLarge *http.MaxBytesError
	if errors.As(err, &known) || errors.As(err, &tooLarge) {
		return err
	}
	return Invalid("", "the form cannot be read: %v", err)
}

// incoming is a body that comes as fast as its client sends it, but does not stand still.
type incoming struct {
	io.ReadCloser
	connection *http.ResponseController
	patience   time.Duration
}

func (in *incoming) Read(p []byte) (int, error) {
	in.connection.SetReadDeadline(time.Now().Add(in.patience)) // where the connection has one
	n, err := in.ReadCloser.Read(p)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &Error{Status: http.StatusRequestTimeout, Type: invalidRequest, Code: "timeout", Message: "nothing of the body came for " + in.patience.String()}
	case err != nil && err != io.EOF:
		err = formError(err)
	}
	return n, err
}
