package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/flashback-lm/flashback"
)

// Error is what a client is told when its request fails, as OpenAI's API says it.
type Error struct {
	Status  int    `json:"-"` // of HTTP
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   string `json:"param"` // the field of the body that is wrong; "" is null
	Code    string `json:"code"`  // "" is null
	// RetryAfter is when to try again; 0: it is not said.
	RetryAfter time.Duration `json:"-"`

	cause error // that the log tells, and the client is not: it may name files; nil: the message is all
}

func (e *Error) Error() string { return e.Message }

// The types of errors.
const (
	invalidRequest = "invalid_request_error"
	authentication = "authentication_error"
	rateLimited    = "rate_limit_error"
	serverError    = "server_error"
)

// Invalid returns a 400 for a field of the body, or "" where no one field is wrong.
func Invalid(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Type: invalidRequest, Param: param, Code: "invalid_value", Message: fmt.Sprintf(format, args...)}
}

// unsupported returns a 400 for a field that this server does not do.
func unsupported(param, format string, args ...any) *Error {
	e := Invalid(param, format, args...)
	e.Code = "unsupported_parameter"
	return e
}

// NotFound returns a 404: there is none, or the key may not see it.
func NotFound(param, code, format string, args ...any) *Error {
	return &Error{Status: http.StatusNotFound, Type: invalidRequest, Param: param, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Unavailable returns a 503 that says when to try again.
func Unavailable(after time.Duration, code, format string, args ...any) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Type: serverError, Code: code, Message: fmt.Sprintf(format, args...), RetryAfter: after}
}

// retrievalError says that passages could not be looked up.
type retrievalError struct {
	error
	told bool // its text is this program's own, and says nothing of files and addresses
}

func (e retrievalError) Unwrap() error { return e.error }

// asError says to a client what an error is.
func asError(err error) *Error {
	var known *Error
	var tooLarge *http.MaxBytesError
	var retrieval retrievalError
	var engine *flashback.EngineError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return &Error{Status: http.StatusRequestEntityTooLarge, Type: invalidRequest, Code: "request_too_large",
			Message: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case errors.As(err, &retrieval):
		e := &Error{Status: http.StatusBadGateway, Type: serverError, Code: "retrieval_failed", Message: "passages could not be looked up" + seeLog, cause: err}
		if retrieval.told {
			e.Message = "passages could not be looked up: " + retrieval.Error()
		}
		return e
	case errors.As(err, &engine):
		return &Error{Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed", Message: err.Error()}
	case errors.Is(err, flashback.ErrUnsupported):
		return unsupported("", "%v", err)
	case errors.Is(err, flashback.ErrTooLong):
		e := Invalid("messages", "%v", err)
		e.Code = "context_length_exceeded"
		return e
	case errors.Is(err, flashback.ErrFull):
		return Unavailable(time.Second, "kv_full", "%v", err)
	}
	return &Error{Status: http.StatusInternalServerError, Type: serverError, Code: "internal_error", Message: "the server has failed" + seeLog, cause: err}
}

// seeLog is said where only the log tells why.
const seeLog = "; its log says why, beside the id that this answer's X-Request-Id has"

// MarshalJSON writes the error with null for what is not said.
func (e *Error) MarshalJSON() ([]byte, error) {
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return json.Marshal(map[string]any{"message": e.Message, "type": e.Type, "param": orNull(e.Param), "code": orNull(e.Code)})
}

// write answers with the error.
func (e *Error) write(w http.ResponseWriter) { e.writeAs(w, e) }

// writeAs answers with the error, told as a value that says it.
func (e *Error) writeAs(w http.ResponseWriter, told any) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="flashback"`)
	}
	writeJSON(w, e.Status, map[string]any{"error": told})
}

// answerTime is how long a client may take to read an answer that is not streamed.
const answerTime = 2 * time.Minute

// writeJSON answers with a value as JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":{"message":"the answer cannot be written as JSON","type":"server_error","param":null,"code":"internal_error"}}`)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // where it can be set
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
}
