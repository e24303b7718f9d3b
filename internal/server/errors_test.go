package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/flashback-lm/flashback"
)

func TestErrorsOfEnginesBehindHTTP(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("writing: %w", &flashback.EngineError{Engine: "vllm at http://gpu:8000", Err: errors.New("it hangs")}), 502, "engine_failed"},
		{fmt.Errorf("vllm: %w", flashback.ErrUnsupported), 400, "unsupported_parameter"},
	} {
		if got := asError(c.err); got.Status != c.status || got.Code != c.code {
			t.Errorf("%v is told as %d %s, want %d %s", c.err, got.Status, got.Code, c.status, c.code)
		}
	}
}
