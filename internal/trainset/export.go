package trainset

import (
	"bufio"
	"encoding/json"
	"io"
)

// Export writes the header and then each window as a line of JSON.
func (s *Set) Export(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	out := json.NewEncoder(buffered)
	out.SetEscapeHTML(false)
	if err := out.Encode(s.header); err != nil {
		return err
	}
	for i := range s.Len() {
		window, err := s.Window(i)
		if err != nil {
			return err
		}
		if err := out.Encode(window); err != nil {
			return err
		}
	}
	return buffered.Flush()
}
