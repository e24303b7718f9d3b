package main

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// The marks that a terminal puts around what is pasted.
const (
	pasteStart = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// pastedBreak stands for a line break in what was pasted, until the line is whole: the
// editor would end the line there.
const pastedBreak = "␤"

// unbroken returns a line of the editor with the breaks that were pasted into it.
func unbroken(line string) string { return strings.ReplaceAll(line, pastedBreak, "\n") }

// editorLimit is how many characters of a line the editor takes if they are typed; of
// pasted ones it takes any number.
const editorLimit = 4096

// keyboard reads keys for the editor: line breaks in what is pasted as pastedBreak, and
// what is typed beyond editorLimit as if it were pasted.
type keyboard struct {
	in       io.Reader
	pasting  bool
	returned bool   // the last key, a pasted one, was a carriage return
	typed    int    // bytes of the line so far, deleted ones too
	held     []byte // the beginning of a mark or of a character
	out      []byte // still to be read
	buf      [256]byte
}

// Read implements io.Reader.
func (k *keyboard) Read(p []byte) (int, error) {
	for len(k.out) == 0 {
		n, err := k.in.Read(k.buf[:])
		k.out = k.translate(append(k.held, k.buf[:n]...))
		if err != nil && len(k.out) == 0 {
			return 0, err
		}
	}
	n := copy(p, k.out)
	k.out = k.out[n:]
	return n, nil
}

// translate returns what the editor is given for keys, and holds back what cannot be
// told yet.
func (k *keyboard) translate(keys []byte) (out []byte) {
	k.held = nil
	for len(keys) > 0 {
		mark := pasteStart
		if k.pasting {
			mark = pasteEnd
		}
		if bytes.HasPrefix(keys, []byte(mark)) {
			k.pasting = !k.pasting
			out, keys = append(out, mark...), keys[len(mark):]
			continue
		}
		if strings.HasPrefix(mark, string(keys)) {
			k.held = bytes.Clone(keys)
			return out
		}
		var n int
		switch key := keys[0]; {
		case k.pasting && (key == '\r' || key == '\n'):
			if key == '\r' || !k.returned { // else it is the second half of a break
				out = append(out, pastedBreak...)
			}
			k.returned, keys = key == '\r', keys[1:]
			continue
		case key == 0x1b:
			n = sequence(keys)
		case key == '\r' || key == '\n':
			n, k.typed = 1, 0
		case printable(key):
			for n < len(keys) && printable(keys[n]) {
				n++
			}
			if n == len(keys) {
				n -= len(keys) - whole(keys)
			}
			if n == 0 {
				k.held = bytes.Clone(keys)
				return out
			}
			if k.typed += n; !k.pasting && k.typed > editorLimit {
				out, keys = append(append(append(out, pasteStart...), keys[:n]...), pasteEnd...), keys[n:]
				continue
			}
		default:
			n = 1
		}
		out, keys, k.returned = append(out, keys[:n]...), keys[n:], false
	}
	return out
}

func printable(key byte) bool { return key >= 0x20 && key != 0x7f }

// sequence returns the length of the escape sequence at the beginning of keys.
func sequence(keys []byte) int {
	if len(keys) < 2 || keys[1] != '[' && keys[1] != 'O' {
		return 1
	}
	for i := 2; i < len(keys); i++ {
		if keys[i] >= 0x40 && keys[i] <= 0x7e {
			return i + 1
		}
	}
	return len(keys)
}

// whole returns the length of keys without the beginning of a character at their end.
func whole(keys []byte) int {
	for i := len(keys) - 1; i >= max(0, len(keys)-utf8.UTFMax+1); i-- {
		if utf8.RuneStart(keys[i]) {
			if !utf8.FullRune(keys[i:]) {
				return i
			}
			break
		}
	}
	return len(keys)
}
