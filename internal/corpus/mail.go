package corpus

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/flashback-lm/flashback/internal/corpus/charset"
)

// parseMail reads a message: who wrote it to whom, when and about what, its text,
// plain if it has that and HTML otherwise, and the names of its attachments.
// Messages within it are read too.
func parseMail(f file) (Document, error) {
	m := mailReader{fields: f.fields}
	err := m.message(f.data, 0)
	return Document{Title: m.subject, Text: strings.TrimSpace(m.text.String()), Encoding: m.encoding}, err
}

type mailReader struct {
	fields   Fields
	subject  string // of the outermost message
	encoding string // that was guessed
	text     strings.Builder
}

// maxParts bounds how deep parts and messages nest.
const maxParts = 20

func (m *mailReader) message(data []byte, depth int) error {
	data = bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), "\r\n")
	if bytes.HasPrefix(data, []byte("From ")) { // of a mailbox
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	msg, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("not a mail message: %w", err)
	}
	known := false
	for _, key := range []string{"From", "To", "Cc", "Date", "Subject"} {
		value := m.header(msg.Header.Get(key))
		if value == "" {
			continue
		}
		known = true
		if key == "Subject" && depth == 0 {
			m.subject = value
		}
		m.text.WriteString(key + ": " + value + "\n")
	}
	if !known && depth == 0 && msg.Header.Get("Content-Type") == "" {
		return errors.New("not a mail message: it has no From, To, Date or Subject")
	}
	m.text.WriteByte('\n')
	return m.part(textproto.MIMEHeader(msg.Header), msg.Body, depth)
}

// header decodes the words of a field.
func (m *mailReader) header(value string) string {
	words := mime.WordDecoder{CharsetReader: func(label string, r io.Reader) (io.Reader, error) {
		e, err := charset.Lookup(label)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	if decoded, err := words.DecodeHeader(value); err == nil {
		value = decoded
	}
	text, err := charset.Decode([]byte(value), m.fields.Encoding)
	if err != nil {
		return ""
	}
	return oneLine(text.String)
}

// part writes a part's text, or the name of what is no text.
func (m *mailReader) part(header textproto.MIMEHeader, body io.Reader, depth int) error {
	if depth > maxParts {
		return fmt.Errorf("parts nest more than %d deep", maxParts)
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && kind == "" {
		kind = "text/plain"
	}
	disposition, file, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	name := m.header(file["filename"])
	if name == "" {
		name = m.header(params["name"])
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		return m.parts(kind, params["boundary"], body, depth)
	}
	data, err := readAll(decodeTransfer(header.Get("Content-Transfer-Encoding"), body))
	switch {
	case kind == "message/rfc822":
		return errors.Join(err, m.message(data, depth+1))
	case disposition == "attachment" || !strings.HasPrefix(kind, "text/"):
		if name != "" {
			m.text.WriteString("Attachment: " + name + "\n")
			err = nil // whatever is wrong with what is not read
		}
		return err
	}
	text, lost := m.decode(data, params["charset"])
	if kind == "text/html" {
		_, text = readPage(text)
	}
	if kind == "text/plain" || kind == "text/html" {
		m.text.WriteString(strings.TrimSpace(text) + "\n\n")
	}
	return errors.Join(err, lost)
}

// decode decodes text by the encoding that its part names.
func (m *mailReader) decode(data []byte, label string) (string, error) {
	if m.fields.Encoding != "" {
		label = m.fields.Encoding
	}
	if _, err := charset.Lookup(label); err != nil || strings.EqualFold(label, "us-ascii") {
		label = ""
	}
	text, err := charset.Decode(data, label)
	if err != nil {
		return "", err
	}
	if text.Encoding != "" {
		m.encoding = text.Encoding
	}
	return text.String, text.Lost.Err()
}

// parts reads a multipart body. Of alternatives it takes the first that is plain
// text, else the last.
func (m *mailReader) parts(kind, boundary string, body io.Reader, depth int) error {
	r := multipart.NewReader(body, boundary)
	var broken []error
	best, bestPlain := "", false
	before := m.text.String()
	for n := 0; ; n++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			broken = append(broken, fmt.Errorf("the message is cut off: %w", err))
			break
		}
		if kind != "multipart/alternative" {
			err = m.part(p.Header, p, depth+1)
		} else {
			one := mailReader{fields: m.fields}
			err = one.part(p.Header, p, depth+1)
			m.encoding = one.encoding
			plain := strings.HasPrefix(strings.ToLower(p.Header.Get("Content-Type")), "text/plain") || p.Header.Get("Content-Type") == ""
			if text := one.text.String(); strings.TrimSpace(text) != "" && !bestPlain {
				best, bestPlain = text, plain
			}
		}
		if err != nil {
			broken = append(broken, err)
		}
		if m.text.Len() > MaxFile {
			return fmt.Errorf("more than %d MiB of text", MaxFile>>20)
		}
	}
	if best != "" {
		m.text.WriteString(best)
	}
	if len(broken) > 0 && m.text.Len() == len(before) {
		return broken[0]
	}
	return errors.Join(broken...)
}

// decodeTransfer undoes what made a body fit for mail.
func decodeTransfer(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}
